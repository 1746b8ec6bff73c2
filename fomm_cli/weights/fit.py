"""Does a set of tensors fit a config? Built on the meta device, so that asking costs no memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

from fomm_cli.config import Config
from fomm_cli.errors import FommError
from fomm_cli.model.discriminator import Discriminator
from fomm_cli.model.network import FirstOrderModel

Shape = tuple[int, ...]
_SHOWN = 10
_Module = TypeVar("_Module", bound=nn.Module)


def build_model(config: Config) -> FirstOrderModel:
    """An untrained model; a config that no network can have becomes a FommError."""
    return _build(lambda: FirstOrderModel(config.model, config.data.frame_shape), config)


def build_discriminator(config: Config) -> Discriminator:
    """An untrained discriminator, likewise."""
    return _build(lambda: Discriminator(config.model), config)


def expected_shapes(config: Config, discriminator: bool = False) -> dict[str, Shape]:
    """Name -> shape of every tensor that the config's networks hold, the discriminator's under its prefix."""
    with torch.device("meta"):
        shapes = _shapes(build_model(config))
        if discriminator:
            shapes |= {f"discriminator.{name}": shape for name, shape in _shapes(build_discriminator(config)).items()}
    return shapes


def compare(expected: Mapping[str, Shape], found: Mapping[str, Shape], where: str, hint: str = "") -> None:
    """Raise FommError unless both hold the same names with the same shapes; at most 10 of each kind are listed."""
    problems = []
    for title, names in (
        ("missing", [name for name in expected if name not in found]),
        ("unexpected", [name for name in found if name not in expected]),
    ):
        if names:
            problems.append(f"{len(names)} {title}: {_listed(names)}")
    wrong = [name for name, shape in expected.items() if name in found and found[name] != shape]
    if wrong:
        told = [f"{name} {list(found[name])} instead of {list(expected[name])}" for name in wrong]
        problems.append(f"{len(wrong)} of another shape: {_listed(told)}")
    if problems:
        raise FommError(f"{where} does not fit its architecture. " + "; ".join(problems) + ".", hint)


def _build(make: Callable[[], _Module], config: Config) -> _Module:
    with torch.random.fork_rng(devices=[]):  # initial values are overwritten: leave the caller's random numbers alone
        try:
            return make()
        except (ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise FommError(f"No network can be built from the config of {config.name}: {error}.") from error


def _shapes(module: nn.Module) -> dict[str, Shape]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(name[:120] for name in names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

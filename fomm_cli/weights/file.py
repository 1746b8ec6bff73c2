"""Writing weights, and reading them back as state dicts. `header.py` documents the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.model.families import family_of
from fomm_cli.model.network import AnimationModel
from fomm_cli.version import __version__
from fomm_cli.weights import stored
from fomm_cli.weights.header import FORMATS, Header, read_header

StateDict = dict[str, Tensor]


class Weights(NamedTuple):
    """A weights file in memory, every floating-point tensor in float32."""

    header: Header
    model: StateDict
    """The state of the network."""
    discriminator: StateDict | None
    """A discriminator's state without its prefix; None when the file has none."""

    @property
    def dtype(self) -> torch.dtype | None:
        """How `save_weights` was told to store them."""
        kinds = self.header.dtypes()
        return torch.int8 if "I8" in kinds else torch.float16 if "F16" in kinds else None


def save_weights(
    path: str | Path,
    model: nn.Module | StateDict,
    config: Config,
    dtype: torch.dtype | None = None,
    discriminator: nn.Module | StateDict | None = None,
    provenance: dict[str, Any] | None = None,
    force: bool = False,
) -> Path:
    """Write one self-sufficient weights file.

    model           a network or its state dict
    dtype           how to store weights of two and more axes: torch.float16 (half the size) or torch.int8 (a quarter);
                    biases, norms and running statistics are few and stay float32. None keeps each tensor's own.
                    Loading gives float32
    discriminator   optional: lets others continue an adversarial training
    provenance      a JSON-able object: data, seed, steps, hardware, source file and whatever else tells the origin
    Raises FommError when a value does not fit into `dtype`, and for an existing file without `force`.
    """
    state = _state(model)
    if discriminator is not None:
        state |= {f"discriminator.{name}": tensor for name, tensor in _state(discriminator).items()}
    tensors: StateDict = {}
    for name, tensor in state.items():
        tensors |= _stored(name, tensor.detach().to("cpu"), dtype)
    metadata = {
        "format": "pt",  # what safetensors' own tools expect of a torch file
        "fomm.format": FORMATS[dtype is torch.int8],
        "fomm.version": __version__,
        "fomm.config": json.dumps(config.model_dump(mode="json")),
        "fomm.provenance": json.dumps(provenance or {}, ensure_ascii=False),
    }
    with disk.atomic_path(path, force) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # it wraps the operating system's refusals, such as a full disk
            raise FommError(
                f"{path} could not be written: {error}.", "Check the free space and permissions."
            ) from error
    return Path(path)


def read_weights(file: str | Path | Header) -> Weights:
    """Header and tensors of a weights file; FommError for anything that is not one (see `read_header`).

    file   its path, or its header where that was read before
    """
    header = file if isinstance(file, Header) else read_header(file)
    try:
        tensors = load_file(header.path)
    except (SafetensorError, OSError) as error:
        raise FommError(f"{header.path} could not be read: {error}.", "Fetch or convert it again.") from error
    model: StateDict = {}
    discriminator: StateDict = {}
    check_finite(tensors, str(header.path))
    for name in header.tensors:
        value = tensors[name]
        if value.dtype is torch.int8:
            value = torch.from_numpy(stored.restore(value.numpy(), tensors[name + stored.SCALE].numpy()))
        value = value.float() if value.is_floating_point() else value
        if name.startswith("discriminator."):
            discriminator[name.removeprefix("discriminator.")] = value
        else:
            model[name] = value
    return Weights(header, model, discriminator or None)


def check_finite(tensors: StateDict, where: str) -> None:
    """Refuse weights that hold NaN or infinities, as a training that diverged leaves them: all they make is black."""
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not _is_finite(value)]
    if broken:
        raise FommError(
            f"{where} holds numbers that are not finite (NaN or infinity), in {_listed(broken[:3])}.",
            "They come from a training that diverged or a file that was damaged; use an earlier checkpoint.",
        )


def _is_finite(value: Tensor) -> bool:
    """Whether every number is finite: the sum tells at once, except where it alone grows too large."""
    return bool(torch.isfinite(value.sum(dtype=torch.float64))) or bool(torch.isfinite(value).all())


def _state(source: nn.Module | StateDict) -> StateDict:
    return dict(source.state_dict() if isinstance(source, nn.Module) else source)


def _stored(name: str, value: Tensor, dtype: torch.dtype | None) -> StateDict:
    """Under which names, and how, a tensor is written."""
    kernel = value.is_floating_point() and value.ndim >= 2
    if kernel and dtype is torch.int8 and value.numel() >= stored.LEAST:
        rounded, scale = stored.squeeze(value.float().numpy())
        return {name: torch.from_numpy(rounded), name + stored.SCALE: torch.from_numpy(scale)}
    if kernel and dtype is torch.float16:
        half = value.half()
        if not torch.isfinite(half).all() and torch.isfinite(value).all():
            raise FommError(f"{name} has values too large for {dtype}.", "Store these weights as float32.")
        value = half
    return {name: value.clone(memory_format=torch.contiguous_format)}  # safetensors refuses tensors that share memory


Shape = tuple[int, ...]

_SHOWN = 10

_Module = TypeVar("_Module", bound=nn.Module)


def build_model(config: Config, parts: Collection[str] = ()) -> AnimationModel:
    """An untrained model; a config that no network can have becomes a FommError.

    parts   what it shall have of its family's optional parts
    """

    def make() -> AnimationModel:
        model = family_of(config.model).network(config.model, config.data.frame_shape)
        for part in parts:
            model.add(part)
        return model

    return _build(make, config)


def build_discriminator(config: Config) -> nn.Module:
    """An untrained discriminator, likewise."""
    return _build(lambda: family_of(config.model).training().discriminator(config.model), config)


def expected_shapes(config: Config, parts: Collection[str] = ()) -> dict[str, Shape]:
    """Name -> shape of every tensor of the config's networks, with these of its family's optional parts."""
    own = [part for part in parts if part != "discriminator"]
    with torch.device("meta"):
        shapes = shapes_of(build_model(config, own))
    return shapes | discriminator_shapes(config) if "discriminator" in parts else shapes


def discriminator_shapes(config: Config) -> dict[str, Shape]:
    """The same for the discriminator alone."""
    with torch.device("meta"):
        shapes = shapes_of(build_discriminator(config))
    return {f"discriminator.{name}": shape for name, shape in shapes.items()}


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


def shapes_of(module: nn.Module) -> dict[str, Shape]:
    """Name -> shape of every tensor of its state."""
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(name[:120] for name in names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

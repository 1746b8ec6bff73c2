"""Weights by name, as a model ready to run or as the start of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from fomm_cli import device as devices
from fomm_cli.config import Config
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.weights.catalogue import DEFAULT
from fomm_cli.weights.convert import read_published
from fomm_cli.weights.file import StateDict, Weights, read_weights
from fomm_cli.weights.fit import build_model, compare, expected_shapes
from fomm_cli.weights.header import looks_like_checkpoint, read_header
from fomm_cli.weights.names import resolve


class Initial(NamedTuple):
    """Where a training starts from.

    config          the one the weights were made with
    model           a FirstOrderModel's state, float32
    discriminator   a Discriminator's state, None when the weights have none
    assumed         dotted key -> value that a published checkpoint does not tell; empty for our own files
    path            the file they come from
    """

    config: Config
    model: StateDict
    discriminator: StateDict | None
    assumed: dict[str, Any]
    path: Path


def load_model(name_or_path: str | Path = DEFAULT, device: str = "auto") -> FirstOrderModel:
    """The model in eval mode, its parameters frozen, on `device`.

    name_or_path   a bundled name, a `.safetensors` file, `hf://owner/repo[/file][@revision]`, or a catalogue name
    device         auto, cpu, cuda, cuda:N or mps
    returns        a FirstOrderModel; `.size` is the (height, width) its weights were trained at, `.config` its
                   architecture
    Raises FommError: unknown name, unreadable or foreign file, tensors that do not fit the config beside them.
    """
    place = devices.resolve(device)
    path = resolve(name_or_path)
    weights = _checked(path)
    model = build_model(weights.header.config)
    model.load_state_dict(weights.model)
    return model.eval().requires_grad_(False).to(place)


def read_config(name_or_path: str | Path = DEFAULT) -> Config:
    """The config stored in a weights file, by path or name."""
    return read_header(resolve(name_or_path)).config


def init_from(name_or_path: str | Path) -> Initial:
    """Weights to start a training from, the discriminator included when there is one.

    name_or_path   as in `load_model`, or a published `.pth.tar`, whose architecture is read off its shapes
    """
    path = resolve(name_or_path)
    if looks_like_checkpoint(path):
        published = read_published(path)
        return Initial(published.config, published.model, published.discriminator, published.assumed, path)
    weights = _checked(path)
    return Initial(weights.header.config, weights.model, weights.discriminator, {}, path)


def _checked(path: Path) -> Weights:
    """The file's tensors, known to fit its config before anything is allocated for them."""
    header = read_header(path)
    shapes = {name: shape for name, (_, shape) in header.tensors.items()}
    compare(
        expected_shapes(header.config, "discriminator" in header.parts),
        shapes,
        str(path),
        "The file was changed after it was written; fetch or convert it again.",
    )
    return read_weights(path)

"""Writing weights, and reading them back as state dicts. `header.py` documents the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fomm_cli import files
from fomm_cli.config import Config
from fomm_cli.errors import FommError
from fomm_cli.version import __version__
from fomm_cli.weights.header import FORMAT, Header, read_header

StateDict = dict[str, Tensor]


class Weights(NamedTuple):
    """A weights file in memory, every floating-point tensor in float32."""

    header: Header
    model: StateDict
    """`keypoint_detector.`, `dense_motion.` and `generator.`: a FirstOrderModel's state."""
    discriminator: StateDict | None
    """A discriminator's state without its prefix; None when the file has none."""


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

    model           a FirstOrderModel or its state dict
    dtype           how to store weights of two and more axes, such as torch.float16 (half the size); biases, norms and
                    running statistics are few and stay float32. None keeps each tensor's own. Loading gives float32
    discriminator   optional: lets others continue an adversarial training
    provenance      a JSON-able object: data, seed, steps, hardware, source file and whatever else tells the origin
    Raises FommError when a value does not fit into `dtype`, and for an existing file without `force`.
    """
    state = _state(model)
    if discriminator is not None:
        state |= {f"discriminator.{name}": tensor for name, tensor in _state(discriminator).items()}
    stored = {name: _stored(name, tensor, dtype) for name, tensor in state.items()}
    metadata = {
        "format": "pt",  # what safetensors' own tools expect of a torch file
        "fomm.format": str(FORMAT),
        "fomm.version": __version__,
        "fomm.config": json.dumps(config.model_dump(mode="json")),
        "fomm.provenance": json.dumps(provenance or {}, ensure_ascii=False),
    }
    with files.atomic_path(path, force) as temporary:
        try:
            save_file(stored, temporary, metadata)
        except SafetensorError as error:  # it wraps the operating system's refusals, such as a full disk
            raise FommError(
                f"{path} could not be written: {error}.", "Check the free space and permissions."
            ) from error
    return Path(path)


def read_weights(path: str | Path) -> Weights:
    """Header and tensors of a weights file; FommError for anything that is not one (see `read_header`)."""
    header = read_header(path)
    try:
        tensors = load_file(header.path)
    except (SafetensorError, OSError) as error:
        raise FommError(f"{path} could not be read: {error}.", "Fetch or convert it again.") from error
    model: StateDict = {}
    discriminator: StateDict = {}
    for name, tensor in tensors.items():
        value = tensor.float() if tensor.is_floating_point() else tensor
        if name.startswith("discriminator."):
            discriminator[name.removeprefix("discriminator.")] = value
        else:
            model[name] = value
    return Weights(header, model, discriminator or None)


def _state(source: nn.Module | StateDict) -> StateDict:
    return dict(source.state_dict() if isinstance(source, nn.Module) else source)


def _stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    value = tensor.detach().to("cpu")
    if dtype is not None and value.is_floating_point() and value.ndim >= 2:
        cast = value.to(dtype)
        if not torch.isfinite(cast).all() and torch.isfinite(value).all():
            raise FommError(f"{name} has values too large for {dtype}.", "Store these weights as float32.")
        value = cast
    return value.clone(memory_format=torch.contiguous_format)  # safetensors refuses tensors that share memory

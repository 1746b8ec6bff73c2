"""Which detector it is: points of two networks mean the same only where the detectors are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.families import family_of
from fomm_cli.weights import stored
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT
from fomm_cli.weights.header import read_header

PREFIX = "keypoint_detector."


def identity(tensors: Mapping[str, NDArray[Any]]) -> str:
    """ "sha256:..." over name, shape and float32 bytes (little-endian) of every tensor, in order of the names.

    Generator and discriminator do not count; neither do counters. What is stored in 16 or 8 bits is hashed as it reads.
    """
    total = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        if values.dtype.kind == "f":
            data = np.ascontiguousarray(values, dtype="<f4")
            total.update(f"{name}\0{list(data.shape)}\0".encode())
            total.update(data.tobytes())
    return f"sha256:{total.hexdigest()}"


def of_model(model: Any) -> str:
    """The identity of a model's detector, on whatever device it is."""
    state = model.state_dict()
    return identity(
        {name: values.detach().float().cpu().numpy() for name, values in state.items()
         if name.startswith(PREFIX) and values.is_floating_point()}
    )  # fmt: skip


def file_of(weights: str | None) -> Path:
    """Where weights by name, file or folder of an export lie, if they are on this machine; without torch."""
    if weights is None or weights in CATALOGUE:
        return CATALOGUE[weights or DEFAULT].path
    return Path(weights)


def read(weights: str) -> tuple[str, str]:
    """(family, detector's identity) of weights by name, file or export; without torch, unless they must be fetched."""
    path = file_of(weights)
    if (path / "export.json").is_file():
        card = json.loads((path / "export.json").read_text(encoding="utf-8"))
        return family_of(card["config"]["model"]).name, str(card.get("detector", ""))
    if not path.is_file():
        from fomm_cli.weights.load import resolve

        path = resolve(weights)
    return read_header(path).config.model.family, of_file(path)


def of_file(path: Path) -> str:
    """The identity of the detector in a weights file, read without torch."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    length = int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8 : 8 + length].tobytes())
    tensors = {name: _array(data[8 + length :], entry) for name, entry in header.items() if name.startswith(PREFIX)}
    for name in [name for name, values in tensors.items() if values.dtype == np.int8]:
        tensors[name] = stored.restore(tensors[name], tensors.pop(name + stored.SCALE))
    return identity(tensors)


def _array(data: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    first, last = entry["data_offsets"]
    raw = np.ascontiguousarray(data[first:last])
    if entry["dtype"] == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I8": "i1"}
    return raw.view(kinds[entry["dtype"]]).reshape(entry["shape"])

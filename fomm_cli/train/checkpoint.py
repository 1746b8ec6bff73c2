"""Checkpoints: one file that holds everything, written whole or not at all."""

from __future__ import annotations

import os
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
import yaml

from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.files.disk import atomic_path
from fomm_cli.files.torch_file import read_tensors
from fomm_cli.train.state import State

FORMAT = 1


def save(state: State, path: Path) -> None:
    """Write the state, the random generators of all libraries and the config.

    The bytes reach the disk before the file takes its name: a power cut leaves the old checkpoint or the new one.
    """
    content = {
        "format": FORMAT,
        "config": state.config.to_yaml(),
        "state": state.state_dict(),
        "random": random_state(),
    }
    with atomic_path(path, force=True) as temporary, temporary.open("wb") as file:
        written = _Written(file)
        try:
            torch.save(content, cast(BinaryIO, written))
        except RuntimeError as error:
            if written.failure is None:
                raise
            raise written.failure from error
        file.flush()
        os.fsync(file.fileno())


class _Written:
    """A file that remembers why it could not be written: torch's zip writer hides the operating system's reason."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self._file.flush()


def load(state: State, path: Path) -> None:
    """Put a checkpoint into a state of the same config.

    Raises FommError: no checkpoint, a broken one, or one of another config, naming the keys.
    """
    restore(state, read(path), path)


def restore(state: State, content: dict[str, Any], path: Path) -> None:
    """`load` of a content that was read before; `path` names it in errors."""
    then = config_of(content, path)
    differing = differences(then.model_dump(mode="json"), state.config.model_dump(mode="json"))
    if differing:
        raise FommError(
            f"The run's config.yaml differs from its checkpoint in {', '.join(differing)}.",
            "Undo the change, or start a new run from these weights with `fomm train --init`.",
        )
    state.load_state_dict(content["state"])
    set_random_state(content["random"])


def config_of(content: dict[str, Any], path: Path) -> Config:
    """The config of a checkpoint's content; keys that are newer than it have their defaults."""
    return configs.build(yaml.safe_load(content["config"]), str(path))


def tidy(folder: Path) -> None:
    """Remove what a process that was killed while saving left behind."""
    for path in folder.glob(".*.part.pt"):
        path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU."""
    if not path.is_file():
        raise FommError(f"There is no checkpoint at {path}.", "The run stopped before its first one: start it anew.")
    content = read_tensors(path, "checkpoint", _ELSE)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FommError(f"{path} is not a checkpoint of this version of fomm.")
    try:
        with zipfile.ZipFile(
            path
        ) as archive:  # torch compares no checksums, and a weight with a wrong bit looks like any
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FommError(f"{path} is damaged: {error}.", _ELSE) from error
    if broken is not None:
        raise FommError(f"{path} is damaged: {broken} is not what was written.", _ELSE)
    return content


_ELSE = "Take another one of the run, or start it anew."


def differences(one: Any, other: Any, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two nested mappings."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in dict.fromkeys([*one, *other]):
            found += differences(one.get(key), other.get(key), f"{prefix}.{key}" if prefix else str(key))
        return found
    return [] if one == other else [prefix]


def random_state() -> dict[str, Any]:
    """The generators of Python, numpy and torch, as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (
            kind,
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_state(saved: dict[str, Any]) -> None:
    """Undo what was drawn since `random_state`."""
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] and len(saved["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(saved["cuda"])

"""Reading a published checkpoint: a torch pickle, never trusted, old or new.

`.pth.tar` is a name, not a format: the file is what `torch.save` wrote, a zip since torch 1.6 and a bare pickle stream
before. Both are read with `weights_only=True`, which allows tensors and plain containers and nothing that runs.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.files.torch_file import read_tensors
from fomm_cli.model.families import FAMILIES
from fomm_cli.model.family import Family
from fomm_cli.model.published import Published, SeveralFiles

_ENDS = (".safetensors", ".pth")
_WHAT = "the checkpoint"
_NO_ARCHIVE = "A .pth.tar is not an archive, do not unpack it: download the file again and use it as it comes."
_AGAIN = "Download it again and compare its size with the page it comes from."


class Checkpoint(NamedTuple):
    """The networks of a published checkpoint under their published names.

    family     whose authors' names they are
    published  what that family knows of them
    parts      published network -> name -> tensor
    epoch      epochs trained, None where the file does not say
    """

    family: Family
    published: Published
    parts: dict[str, dict[str, Tensor]]
    epoch: int | None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The tensors of a published checkpoint.

    Raises FommError, saying what the file is instead and what to do, for: a missing or empty file, a Git-LFS pointer, a
    web page, an unpacked or re-packed archive, a truncated file, a pickle that wants to run code, and a
    checkpoint of another model.
    """
    path = Path(path)
    if path.is_dir() and (found := in_several(path)) is not None:
        return found
    _refuse_archives(path)
    stored = read_tensors(path, "torch checkpoint", _AGAIN)
    if not isinstance(stored, dict):
        raise FommError(f"{path} holds a {type(stored).__name__}, not a dict of networks.", _expected())
    family, published = recognise(path, stored)
    names = [name for name in (*published.REQUIRED, *published.OPTIONAL) if name in stored]
    parts = {name: _tensors(path, name, stored[name]) for name in names}
    epoch = stored.get(published.EPOCH)
    return Checkpoint(family, published, parts, epoch if isinstance(epoch, int) else None)


def in_several(folder: Path) -> Checkpoint | None:
    """The checkpoint whose several files lie anywhere below a folder; None where no family has all of its own there."""
    for family in FAMILIES.values():
        published = family.published()
        names = getattr(published, "FILES", ())
        found = {name: sorted(path for end in _ENDS for path in folder.rglob(name + end)) for name in names}
        if published is None or not found or not all(found.values()):
            continue
        parts = cast(SeveralFiles, published).gather({name: _one_of_several(paths[0]) for name, paths in found.items()})
        missing = [name for name in published.REQUIRED if name not in parts]
        if missing:
            raise FommError(f"{folder} has no {' and no '.join(missing)}. It holds: {', '.join(parts)}.", _expected())
        wanted = (*published.REQUIRED, *published.OPTIONAL)
        tensors = {name: _tensors(folder, name, part) for name, part in parts.items() if name in wanted}
        return Checkpoint(family, published, tensors, None)
    return None


def _one_of_several(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        disk.check_payload(path, _WHAT)
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise FommError(f"{path} is truncated or damaged: {error}.", _AGAIN) from error
    _refuse_archives(path)
    stored = read_tensors(path, "torch checkpoint", _AGAIN)
    if not isinstance(stored, dict):
        raise FommError(f"{path} holds a {type(stored).__name__}, not a dict of tensors.", _expected())
    return stored


def recognise(path: Path, stored: dict[Any, Any]) -> tuple[Family, Published]:
    """The family whose networks stand at the top of a checkpoint."""
    known = [(family, published) for family in FAMILIES.values() if (published := family.published()) is not None]
    for family, published in known:
        if all(name in stored for name in published.REQUIRED):
            return family, published
    nearest = max(known, key=lambda pair: sum(name in stored for name in pair[1].REQUIRED))[1]
    missing = [name for name in nearest.REQUIRED if name not in stored]
    found = ", ".join(str(key)[:40] for key in list(stored)[:10]) or "nothing"
    raise FommError(f"{path} has no {' and no '.join(missing)}. It holds: {found}.", _expected())


def _refuse_archives(path: Path) -> None:
    if path.is_dir():
        inside = [*path.glob("data.pkl"), *path.glob("*/data.pkl")]
        what = "the folder that unpacking a checkpoint leaves" if inside else "a folder, not a checkpoint"
        raise FommError(f"{path} is {what}.", _NO_ARCHIVE)
    disk.check_payload(path, _WHAT)
    with path.open("rb") as file:
        head = file.read(6)
    kinds = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
    for magic, kind in kinds.items():
        if head.startswith(magic):
            raise FommError(f"{path} is a {kind} archive, not a checkpoint.", "Unpack it and use the .pth.tar inside.")
    if head.startswith(b"PK"):
        _refuse_repacked(path)
    elif head[:1] != b"\x80" and tarfile.is_tarfile(path):
        raise FommError(
            f"{path} is a real tar archive, which checkpoints are not despite their name.",
            "If a checkpoint was packed into it, unpack it once and use the .pth.tar inside.",
        )
    elif head[:1] != b"\x80":  # how every pickle since protocol 2 begins
        raise FommError(f"{path} is no torch checkpoint: neither a zip nor a pickle.", _AGAIN)


def _refuse_repacked(path: Path) -> None:
    """torch's zip stores its records as they are, one of them NAME/data.pkl; anything else was made by an archiver."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise FommError(f"{path} is truncated or damaged: its end is missing.", _AGAIN) from error
    if not any(record.filename.count("/") == 1 and record.filename.endswith("/data.pkl") for record in records):
        inside = [record.filename for record in records if record.filename.endswith((".pth", ".pth.tar", ".pt"))]
        hint = f"Unpack it and use {Path(inside[0]).name} inside." if inside else _NO_ARCHIVE
        raise FommError(f"{path} is a zip archive, but not one that torch wrote.", hint)
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise FommError(f"{path} was unpacked and packed again by an archiver.", _NO_ARCHIVE)


def _tensors(path: Path, part: str, stored: object) -> dict[str, Tensor]:
    if not isinstance(stored, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in stored.items()
    ):
        raise FommError(f"{path}: {part} is not a dict of named tensors.", _expected())
    tensors = {key: value.detach() for key, value in stored.items()}
    if any(value.layout != torch.strided or value.is_meta or value.is_quantized for value in tensors.values()):
        raise FommError(f"{path}: {part} holds tensors that are not plain arrays of numbers.", _expected())
    if tensors and all(key.startswith("module.") for key in tensors):  # saved from inside DataParallel
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def _expected() -> str:
    ways = [published.WHAT for family in FAMILIES.values() if (published := family.published()) is not None]
    return " ".join(ways)

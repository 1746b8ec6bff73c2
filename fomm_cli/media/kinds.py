"""What a file is by its first bytes, whatever its name says, and what opens it."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

from fomm_cli.errors import FommError
from fomm_cli.files import disk

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"\xff\x0a", b"\0\0\0\x0cJXL ")
_STILLS = {b"heic", b"heix", b"mif1", b"heim", b"heis", b"avif"}
"""Brands of the still pictures in MP4's boxes; an animation says avis, hevc or msf1, and is a video."""

_PLUGINS = {"heic": "pillow_heif", "jxl": "pillow_jxl"}


def check_file(path: Path, what: str) -> None:
    """Refuse what is no regular file: nothing, a folder, a pipe that would be waited for."""
    try:
        if path.is_dir():
            raise FommError(f"{path} is a folder, not {what}.", "Name one picture.")
        if not path.exists():
            raise FommError(f"{path} does not exist.", "Check the path.")
        if not path.is_file():
            raise FommError(f"{path} is not a regular file.", "Save it to a file first, and name that.")
    except OSError as error:
        raise disk.explain_os_error(error, path, "read") from error


def is_picture(path: Path) -> bool:
    """Whether Pillow reads it, animated WebP and PNG included. GIF goes to ffmpeg like any video."""
    head = _head(path)
    if head.startswith(b"\xff\xd8\xff") and path.suffix.lower() in {".mjpg", ".mjpeg"}:
        return False  # a film of JPEGs, one after the other
    return head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or _brand(head) in _STILLS


def register(path: Path) -> None:
    """Let Pillow open HEIC and JPEG XL where the packages for them are installed."""
    if (plugin := _PLUGINS.get(_format(path))) is not None:
        with contextlib.suppress(ImportError):
            module = importlib.import_module(plugin)
            if plugin == "pillow_heif":
                module.register_heif_opener()


def advice(path: Path) -> str:
    """What to do about a picture that Pillow does not know."""
    found = _format(path)
    if found in _PLUGINS:
        name = {"heic": "HEIC", "jxl": "JPEG XL"}[found]
        return f'It is {name}, for which there is an extra: pip install "fomm-cli[heif]"'
    if found == "avif":
        return "It is AVIF, which Pillow reads from version 11.3 on: pip install -U pillow"
    return "Use PNG, JPEG, WebP or TIFF."


def _format(path: Path) -> str:
    """heic, jxl or avif; empty for all that needs nothing more."""
    head = _head(path)
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "jxl"
    brand = _brand(head)
    return "avif" if brand in {b"avif", b"avis"} else "heic" if brand in _STILLS | {b"hevc", b"msf1"} else ""


def _brand(head: bytes) -> bytes:
    return head[8:12] if head[4:8] == b"ftyp" else b""


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # to open a pipe is to wait for whoever writes to it
            return b""
        with path.open("rb") as file:
            return file.read(16)
    except OSError:  # whoever opens it will say why
        return b""

"""Packed clips: one uncompressed zip of single images, any of which is one read away."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomm_cli.data.clips import BROKEN_IMAGE, rgb
from fomm_cli.errors import FommError
from fomm_cli.files import check_payload
from fomm_cli.media.image import MAX_PIXELS
from fomm_cli.media.sequence import natural_key, parse_rate

ABOUT = "clip.json"
MAX_FRAMES = 2_000_000
MAX_ABOUT_BYTES = 64 * 1024
MAX_FRAME_BYTES = 256 * 1024 * 1024
_FRAME = re.compile(r"[\w-]+\.(?:png|jpe?g|webp)", re.IGNORECASE)
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class PackedClip:
    """Frames of a packed clip, in natural order of their names.

    The file may come from anywhere: names with folders in them, compressed or encrypted members and absurd sizes are
    refused, nothing is ever unpacked to disk.

    about   what the packing wrote down: encoding, size, rate; empty for a zip made by other means
    """

    direct = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size: tuple[int, int] | None = None
        try:
            with zipfile.ZipFile(path) as archive:
                members = [entry for entry in archive.infolist() if entry.filename != ABOUT]
                self.about = _about(archive)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error, EOFError) as error:
            check_payload(path, "a packed clip")
            raise FommError(
                f"{path} is no packed clip: {error}.", "`fomm dataset pack` writes packed clips."
            ) from error
        self.rate = _rate(self.about.get("rate"))
        if not members:
            raise FommError(f"{path} holds no frames.")
        if len(members) > MAX_FRAMES:
            raise FommError(f"{path} lists {len(members)} members, more than the {MAX_FRAMES} a clip may have.")
        for entry in members:
            if not _FRAME.fullmatch(entry.filename):
                raise FommError(
                    f"{path} is no packed clip: {entry.filename!r} is not the name of a frame.",
                    "`fomm dataset pack` writes packed clips; their members are images, with no folders among them.",
                )
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise FommError(
                    f"{path} is no packed clip: {entry.filename} is compressed or encrypted.",
                    "Frames are stored as they are, so that one can be read alone: `zip -0`.",
                )
            if not 0 < entry.file_size <= MAX_FRAME_BYTES or entry.file_size != entry.compress_size:
                raise FommError(f"{path} is damaged: {entry.filename} claims {entry.file_size} bytes.")
        members.sort(key=lambda entry: natural_key(entry.filename))
        # Two numbers a frame instead of zipfile's objects: sets have millions of frames.
        self._where = np.array([(entry.header_offset, entry.file_size) for entry in members], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.frame(index) for index in range(len(self)))

    @property
    def size(self) -> tuple[int, int]:
        if self._size is None:
            with self._image(0) as image:
                self._size = image.height, image.width
        return self._size

    def frame(self, index: int) -> np.ndarray:
        with self._image(index) as image:
            return rgb(image, f"{self.path}, frame {index}")

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        return [self.frame(index) for index in indices]

    def _image(self, index: int) -> Image.Image:
        """The image of one frame, its header read and its pixels not yet decoded."""
        offset, size = (int(number) for number in self._where[index])
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                magic, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
                if magic != b"PK\x03\x04":
                    raise ValueError("its index points to no member")
                file.seek(name + extra, io.SEEK_CUR)
                data = file.read(size)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it claims {image.width} x {image.height} pixels")
            return image
        except (*BROKEN_IMAGE, struct.error) as error:
            raise FommError(f"{self.path} has a damaged frame {index}: {error}.") from error

    def close(self) -> None:
        pass


def _about(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The note that `write_clip` leaves; {} for a zip made by other means."""
    try:
        entry = archive.getinfo(ABOUT)
    except KeyError:
        return {}
    if entry.file_size > MAX_ABOUT_BYTES or entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        return {}
    try:
        about = json.loads(archive.read(entry))
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _rate(text: object) -> Fraction | None:
    rate = parse_rate(text) if isinstance(text, str) else None
    return rate if rate is not None and 0 < rate <= 10_000 else None

"""Packed clips: one uncompressed zip of single images, any of which is one read away."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomm_cli.errors import FommError
from fomm_cli.files.disk import atomic_path, check_payload
from fomm_cli.media.image import BROKEN_IMAGE, MAX_PIXELS, fit, rgb
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


FORMAT = "fomm-clip"


@dataclass(frozen=True)
class Packing:
    """How frames are stored.

    lossless   PNG instead of JPEG
    quality    of JPEG, 1 to 100; the colour keeps its full resolution (4:4:4)
    size       (H, W) of every frame, cut to that shape around the centre first; None keeps each clip's own
    """

    lossless: bool = False
    quality: int = 95
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise FommError(f"JPEG quality {self.quality} lies outside 1 to 100.")
        if self.size is not None and not all(8 <= side <= 8192 for side in self.size):
            raise FommError(f"Frames cannot be {self.size[1]}x{self.size[0]}.", "Each side is 8 to 8192 pixels.")

    def note(self) -> dict[str, Any]:
        """What of it a packed clip writes down and a resumed packing compares."""
        kind: dict[str, Any] = {"encoding": "png"} if self.lossless else {"encoding": "jpeg", "quality": self.quality}
        return kind | {"resized": None if self.size is None else list(self.size)}

    def encode(self, frame: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        picture = Image.fromarray(frame)
        if self.lossless:
            picture.save(buffer, "PNG", compress_level=3)  # level 9 would save some 3 % for several times the time
        else:
            picture.save(buffer, "JPEG", quality=self.quality, subsampling=0)
        return buffer.getvalue()


def write_clip(
    path: str | Path,
    frames: Iterable[np.ndarray],
    packing: Packing | None = None,
    rate: Fraction | None = None,
    force: bool = False,
) -> int:
    """Write a packed clip and return its number of frames; nothing lies at `path` unless all of it does.

    frames   uint8 (H, W, 3), consumed one by one; those of another size than the first are fitted to it
    rate     frames a second, if known
    The same frames and packing give the same bytes.
    """
    packing = packing or Packing()
    size, count = packing.size, 0
    suffix = "png" if packing.lossless else "jpg"
    with atomic_path(path, force) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for frame in frames:
            size = size or (frame.shape[0], frame.shape[1])
            archive.writestr(_member(f"{count:06d}.{suffix}"), packing.encode(fit(frame, size)))
            count += 1
        if size is None:
            raise FommError(f"There are no frames to write to {path}.")
        note = {"format": FORMAT, "version": 1, "frames": count, "size": list(size), **packing.note()}
        note["rate"] = None if rate is None else str(rate)
        archive.writestr(_member(ABOUT), json.dumps(note))
    return count


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)  # with zip's earliest date: the bytes do not depend on the day

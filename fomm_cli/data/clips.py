"""Clips on disk behind one face: how many frames, which size, and any single frame.

Four layouts: a folder of frames, a video, a film strip (square frames side by side in one image) and a packed clip (a
zip of single images). Opening reads no more than an index; a frame is decoded when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from fomm_cli.errors import FommError
from fomm_cli.files import check_payload

VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".mpg", ".mpeg"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
Kind = Literal["folder", "video", "strip", "packed"]


class Clip(Protocol):
    """One piece of motion.

    size     (H, W) of the first frame, in pixels
    direct   a frame can be decoded without much of the clip before it
    rate     frames a second, where the file knows
    Iterating gives every frame in order, one in memory at a time; where some cannot be decoded it raises FommError.
    """

    path: Path
    direct: bool
    rate: Fraction | None

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def frame(self, index: int) -> np.ndarray:
        """Frame `index` of [0, len): uint8 (H, W, 3). Raises FommError if it cannot be decoded."""
        ...

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Several frames in the order asked for, decoded in one go where that is cheaper."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class ClipRef:
    """Where a clip is, without opening it.

    name   what it is called, free of the suffix of a file
    kind   its layout
    """

    path: Path
    name: str
    kind: Kind

    @property
    def identity(self) -> str:
        """Who is shown: the name up to the first `#`, or all of it."""
        return self.name.split("#", 1)[0]

    def open(self) -> Clip:
        return _open(self.path, self.kind)


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key that puts 2.png before 10.png."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", text) if part
    ]


def find_clip(path: str | Path) -> ClipRef | None:
    """The clip that a path stands for by its kind and suffix, or None if it can be none."""
    path = Path(path)
    if path.is_dir():
        return ClipRef(path, path.name, "folder")
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        return ClipRef(path, path.stem, "video")
    if suffix in IMAGES:
        return ClipRef(path, path.stem, "strip")
    if suffix == ".zip":
        return ClipRef(path, path.stem, "packed")
    return None


def open_clip(path: str | Path) -> Clip:
    """Open a clip of any layout. Raises FommError, saying why, if there is none to be read."""
    path = Path(path)
    if not path.exists():
        raise FommError(f"{path} does not exist.")
    ref = find_clip(path)
    if ref is None:
        known = ", ".join(sorted(suffix[1:] for suffix in VIDEOS | IMAGES))
        raise FommError(f"{path} is no clip.", f"A clip is a folder of images, a packed .zip, or a file of {known}.")
    return ref.open()


def _open(path: Path, kind: Kind) -> Clip:
    if kind == "folder":
        return FolderClip(path)
    if kind == "strip":
        return StripClip(path)
    if kind == "packed":
        from fomm_cli.data.packed import PackedClip

        return PackedClip(path)
    from fomm_cli.data.movie import VideoClip

    return VideoClip(path)


def rgb(image: Image.Image) -> np.ndarray:
    """A decoded picture as uint8 (H, W, 3): 16-bit grey divided by 257, transparency laid over white."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float64) / 257.0
        return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("LA", "PA", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        if alpha.getextrema()[0] == 255:
            return np.asarray(image.convert("RGB"))
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=alpha)
        return np.asarray(white)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def decode_failure(path: Path, error: BaseException, what: str = "cannot be read") -> FommError:
    """The sentence for a clip whose bytes are not what its name says."""
    if path.is_file():
        try:
            check_payload(path, "a clip")
        except FommError as known:
            return known
    if isinstance(error, UnidentifiedImageError):
        return FommError(f"{path} {what}: no known image format.")
    reason = getattr(error, "strerror", None) or str(error)
    return FommError(f"{path} {what}: {' '.join(reason.split()).rstrip('.') or type(error).__name__}.")


# What image libraries raise for bytes they do not like; broken PNG chunks come as SyntaxError.
BROKEN_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class FolderClip:
    """A folder of images, in natural order of their names."""

    direct = True
    rate: Fraction | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            names = [item.name for item in path.iterdir() if item.suffix.lower() in IMAGES and item.name[0] != "."]
        except OSError as error:
            raise decode_failure(path, error) from error
        if not names:
            raise FommError(f"{path} holds no images.", "A folder is one clip; its images are the frames.")
        self._names = sorted(names, key=natural)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.frame(index) for index in range(len(self)))

    @property
    def size(self) -> tuple[int, int]:
        first = self.path / self._names[0]
        try:
            with Image.open(first) as image:
                return image.height, image.width
        except BROKEN_IMAGE as error:
            raise decode_failure(first, error) from error

    def frame(self, index: int) -> np.ndarray:
        path = self.path / self._names[index]
        try:
            with Image.open(path) as image:
                return rgb(image)
        except BROKEN_IMAGE as error:
            raise decode_failure(path, error) from error

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        return [self.frame(index) for index in indices]

    def close(self) -> None:
        pass


class StripClip:
    """One image of square frames side by side: its height is the side, its width a multiple of it."""

    direct = False
    rate: Fraction | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with Image.open(path) as image:
                width, side = image.size
        except BROKEN_IMAGE as error:
            raise decode_failure(path, error) from error
        if width % side:
            raise FommError(
                f"{path} is a {width}x{side} image, not a film strip: its width is no multiple of its height.",
                "A strip holds square frames side by side. Single pictures go into one folder per clip, as its frames.",
            )
        self._side, self._count = side, width // side

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.frames(range(len(self))))

    @property
    def size(self) -> tuple[int, int]:
        return self._side, self._side

    def frame(self, index: int) -> np.ndarray:
        return self.frames([index])[0]

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        try:
            with Image.open(self.path) as image:
                strip = rgb(image)
        except BROKEN_IMAGE as error:
            raise decode_failure(self.path, error) from error
        cells = strip.reshape(self._side, self._count, self._side, 3)
        return [np.ascontiguousarray(cells[:, index]) for index in indices]

    def close(self) -> None:
        pass

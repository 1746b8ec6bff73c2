"""Clips on disk behind one face: how many frames, which size, and any single frame.

Four layouts: a folder of frames, a video, a film strip (square frames side by side in one image) and a packed clip (a
zip of single images). Opening reads no more than an index; a frame is decoded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.files.disk import check_endless, explain_os_error
from fomm_cli.media.image import open_image, rgb
from fomm_cli.media.sequence import SUFFIXES, image_files

VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".mpg", ".mpeg"})

IMAGES = frozenset(SUFFIXES)

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
    check_endless(path)
    if kind == "folder":
        return FolderClip(path)
    if kind == "strip":
        return StripClip(path)
    if kind == "packed":
        from fomm_cli.data.packed import PackedClip

        return PackedClip(path)
    from fomm_cli.data.movie import VideoClip

    return VideoClip(path)


class FolderClip:
    """A folder of images, in natural order of their names."""

    direct = True
    rate: Fraction | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._names = [file.name for file in image_files(path)]
        except OSError as error:
            raise explain_os_error(error, path, "read") from error

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.frame(index) for index in range(len(self)))

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.frame(0).shape[:2]
        return height, width

    def frame(self, index: int) -> np.ndarray:
        path = self.path / self._names[index]
        with open_image(path) as image:
            return rgb(image, path)

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
        with open_image(path) as image:
            width, side = image.size
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
        with open_image(self.path) as image:
            strip = rgb(image, self.path)
        cells = strip.reshape(self._side, self._count, self._side, 3)
        return [np.ascontiguousarray(cells[:, index]) for index in indices]

    def close(self) -> None:
        pass

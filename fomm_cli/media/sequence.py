"""Clips made of pictures: a folder in natural order, a still, an animated WebP or PNG."""

from __future__ import annotations

import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, open_image, read_image, to_rgb

DEFAULT_RATE = Fraction(25)
"""Frames per second of pictures, which carry no rate."""

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


_RATE = re.compile(r"\d{1,18}(\.\d{1,18}|/\d{1,18})?")


def parse_rate(text: str) -> Fraction | None:
    """Frames per second from a file: `25`, `29.97` or `30000/1001`; None for anything else.

    Exponents are not taken: `1e99999999` alone would keep a processor busy for hours.
    """
    if _RATE.fullmatch(text) is None:
        return None
    try:
        return Fraction(text)
    except ZeroDivisionError:
        return None


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which 2.png comes before 10.png."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name) if part
    ]


def image_files(folder: str | Path) -> list[Path]:
    """The pictures of a folder in natural order; hidden files and other suffixes are passed over."""
    folder = Path(folder)
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not found:
        raise FommError(
            f"{folder} has no pictures in it.", f"Frames are files ending in {', '.join(sorted(SUFFIXES))}."
        )
    return sorted(found, key=lambda p: (natural_key(p.name), p.name))


def is_sequence(path: Path) -> bool:
    """Whether Pillow reads it: a folder, or a picture file. GIF goes to ffmpeg like any video."""
    return path.is_dir() or (path.suffix.lower() in SUFFIXES and path.is_file())


def still_format(path: Path) -> str:
    """The format Pillow recognised, in lower case."""
    with open_image(path) as image:
        return (image.format or "image").lower()


def read_pictures(path: Path) -> Generator[tuple[Frame, Fraction], None, None]:
    """Frames with their times in seconds; all frames of a folder must have one size."""
    if path.is_dir():
        first: Path | None = None
        shape: tuple[int, ...] = ()
        for index, file in enumerate(image_files(path)):
            frame = read_image(file)
            if first is None:
                first, shape = file, frame.shape
            elif frame.shape != shape:
                height, width = frame.shape[:2]
                raise FommError(
                    f"{file} is {width} x {height} pixels, but {first.name} is {shape[1]} x {shape[0]}.",
                    "All frames of a folder must have one size.",
                )
            yield frame, index / DEFAULT_RATE
        return
    with open_image(path) as image:
        time = Fraction(0)
        for index in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(index)
            except EOFError:
                return
            yield to_rgb(image, path), time
            time += Fraction(round(image.info.get("duration", 0) or 40), 1000)

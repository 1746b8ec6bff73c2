"""Clips made of pictures: a folder in natural order, a still, an animated WebP or PNG."""

from __future__ import annotations

import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media import kinds
from fomm_cli.media.image import BROKEN_IMAGE, Frame, open_image, read_image, to_rgb

DEFAULT_RATE = Fraction(25)
"""Frames per second of pictures, which carry no rate."""

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class Timed(NamedTuple):
    """A frame of a clip.

    time   seconds at which it is shown, from the begin of the file
    lasts  seconds until the next frame, or until the clip ends
    """

    frame: Frame
    time: Fraction
    lasts: Fraction


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
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    except OSError as error:
        raise disk.explain_os_error(error, folder, "read") from error
    if not found:
        raise FommError(
            f"{folder} has no pictures in it.", f"Frames are files ending in {', '.join(sorted(SUFFIXES))}."
        )
    return sorted(found, key=lambda p: (natural_key(p.name), p.name))


def is_sequence(path: Path) -> bool:
    """Whether Pillow reads it: a folder, or a picture by its content."""
    return path.is_dir() or kinds.is_picture(path)


def still_format(path: Path) -> str:
    """The format Pillow recognised, in lower case."""
    with open_image(path) as image:
        return (image.format or "image").lower()


def steps(path: Path) -> list[Fraction]:
    """Seconds each frame of an animated picture lasts, as far as it can be decoded; empty for a still."""
    found: list[Fraction] = []
    with open_image(path) as image:
        for index in _frames(image):
            try:
                image.seek(index)
                image.load()  # WebP tells how long a frame lasts only once it is decoded
            except (EOFError, *BROKEN_IMAGE):
                break
            found.append(_lasts(image))
    return found if len(found) > 1 else []


def _frames(image: Any) -> range:
    """The frames that are the animation: an APNG's default picture is for viewers that know no APNG."""
    count = getattr(image, "n_frames", 1)
    return range(1 if count > 1 and getattr(image, "default_image", False) else 0, count)


def _lasts(image: Image.Image) -> Fraction:
    return Fraction(round(image.info.get("duration", 0) or 40), 1000)


def read_pictures(
    path: Path, rate: Fraction | None = None, damage: list[str] | None = None
) -> Generator[Timed, None, None]:
    """The frames in order; all frames of a folder must have one size.

    rate    frames a second of a folder, None = 25
    damage  what cannot be read is left out and told here; None = it is raised
    """
    if path.is_dir():
        yield from _folder(path, 1 / (rate or DEFAULT_RATE), damage)
        return
    with open_image(path) as image:
        time, frames = Fraction(0), _frames(image)
        for index in frames:
            try:
                image.seek(index)
                frame = to_rgb(image, path)
            except EOFError:
                return
            except (FommError, *BROKEN_IMAGE) as error:
                what = f"{path} is damaged: {index - frames.start} of its {len(frames)} frames can be decoded"
                if damage is None or index == frames.start:
                    raise FommError(f"{what}.", "Fetch or export it again.") from error
                damage.append(f"{what}; the rest is left out.")
                return
            lasts = _lasts(image) if len(frames) > 1 else 1 / (rate or DEFAULT_RATE)
            yield Timed(frame, time, lasts)
            time += lasts


def _folder(path: Path, step: Fraction, damage: list[str] | None) -> Generator[Timed, None, None]:
    first: Path | None = None
    shape: tuple[int, ...] = ()
    for index, file in enumerate(image_files(path)):
        try:
            frame = read_image(file)
        except FommError as error:
            if damage is None:
                raise
            damage.append(f"{error.what} It is left out.")
            continue
        if first is None:
            first, shape = file, frame.shape
        elif frame.shape != shape:
            height, width = frame.shape[:2]
            raise FommError(
                f"{file} is {width} x {height} pixels, but {first.name} is {shape[1]} x {shape[0]}.",
                "All frames of a folder must have one size.",
            )
        yield Timed(frame, index * step, step)

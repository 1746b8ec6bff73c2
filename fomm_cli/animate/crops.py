"""Which part of a picture or clip the network sees, from a word or from numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fomm_cli.boxes import Box, center_box, pad_box, parse_box, shaped
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import Frame

WORDS = ["center", "pad", "face", "motion"]


def check_crop(text: str, still: bool = False) -> None:
    """Refuse, before any file is read, what is neither a word nor x,y,w,h; in a still nothing moves."""
    if still and text == "motion":
        raise FommError("There is no motion in a picture.", "Crop it by center, pad, face or x,y,w,h.")
    if text not in WORDS:
        _numbers(text)


def needs_frames(text: str) -> bool:
    """Whether the crop is found by looking at the clip rather than at its size."""
    return text in {"face", "motion"}


def crop_box(
    text: str,
    size: tuple[int, int],
    aspect: float,
    frames: Iterable[Frame] | None = None,
    detector: Path | None = None,
) -> Box:
    """The box for a picture of `size` = (H, W), in the shape `aspect` = width / height of the network.

    text    center  the largest box in the middle
            pad     the whole picture and as much of its continued edge as the shape needs
            x,y,w,h pixels from the top left corner of the upright picture; the shorter side is grown to the shape
            face, motion  found in `frames` (one picture, or all of the clip), one box for all of it; `detector` is the
                    file of the network that finds faces, None = the public one
    """
    height, width = size
    if text == "center":
        return center_box(height, width, aspect)
    if text == "pad":
        return pad_box(height, width, aspect)
    if needs_frames(text):
        from fomm_cli.detectors.boxes import fixed_box

        return shaped(fixed_box(frames if frames is not None else [], text, detector), aspect)
    box = _numbers(text)
    if box.left >= width or box.top >= height or box.left + box.width <= 0 or box.top + box.height <= 0:
        raise FommError(
            f"The crop {text} lies outside the picture, which is {width} x {height} pixels.",
            "x,y is the top left corner of the box, w,h its size, in pixels.",
        )
    return shaped(box, aspect)


def _numbers(text: str) -> Box:
    box = parse_box(text)
    if box is None:
        raise FommError(f"{text!r} is no crop.", f"{nearest(text, WORDS)} Or give x,y,w,h in pixels, as 40,0,256,256.")
    return box

"""One fixed square box for a whole clip or picture: what `fomm animate` crops to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from fomm_cli.boxes import Box, Edges, clip, overlap, square, union
from fomm_cli.detectors.faces import FaceDetector
from fomm_cli.detectors.protocol import BoxDetector
from fomm_cli.detectors.tracking import MotionFinder
from fomm_cli.errors import FommError

METHODS = ("face", "motion", "center", "pad")
PAD = 0.1  # shares of a found box added at each side
_LOOKS = 64  # a face is looked for in so many pictures of a clip at most at the full rate, then ever more rarely


def fixed_box(
    frames: np.ndarray | Iterable[np.ndarray],
    method: str,
    detector_path: str | Path | None = None,
    detector: BoxDetector | None = None,
) -> Box:
    """The square to cut out of every picture of a clip.

    frames          one picture, uint8 (H, W, 3), or the pictures of a clip in order, all of one size
    method          face     around the largest face, wherever it goes during the clip
                    motion   around what moves
                    center   the largest square in the middle
                    pad      the whole picture, to be padded to a square
                    x,y,w,h  given: left, top, width and height in pixels, widened to a square
    detector_path   the network of `face`, None = the public one
    detector        used for `face` instead of that network
    The box is a square; it reaches beyond the picture only where that is too small for it.
    """
    pictures = iter([frames] if isinstance(frames, np.ndarray) else frames)
    first = next(pictures, None)
    if first is None:
        raise FommError("There is no picture to find a box in.")
    height, width = first.shape[:2]
    given = parse_box(method)
    if given is not None:
        if given[0] >= width or given[1] >= height or given[2] <= 0 or given[3] <= 0:
            raise FommError(f"The box {method} lies outside the picture of {width} x {height}.")
        return square(given, width, height)
    if method == "center":
        side = min(width, height)
        return Box((width - side) // 2, (height - side) // 2, side, side)
    if method == "pad":
        return square((0, 0, width, height), width, height)
    if method == "motion":
        return _motion(chain([first], pictures), width, height)
    if method == "face":
        return _face(chain([first], pictures), detector or FaceDetector(detector_path), width, height)
    raise FommError(f"{method!r} is no way to crop.", f"Use {', '.join(METHODS)} or x,y,w,h in pixels.")


def parse_box(text: str) -> Edges | None:
    """`x,y,w,h` as (left, top, right, bottom), or None if the text is not of that form."""
    match = re.fullmatch(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if match is None:
        return None
    left, top, width, height = (int(number) for number in match.groups())
    if not width or not height:
        raise FommError(f"The box {text} is empty.", "It is left,top,width,height in pixels.")
    return left, top, left + width, top + height


def _motion(pictures: Iterable[np.ndarray], width: int, height: int) -> Box:
    finder = MotionFinder(max_frames=1 << 62)
    for number, frame in enumerate(pictures):
        finder.look(number, frame, False)
    track = finder.finish()[0]
    if not track.score:
        raise FommError("Nothing moves in this clip.", "Crop it another way: face, center, pad or x,y,w,h.")
    return square(track.box, width, height, PAD)


def _face(pictures: Iterable[np.ndarray], detector: BoxDetector, width: int, height: int) -> Box:
    """Around the boxes of the largest face of the first picture that shows one, as it moves about."""
    box: Edges | None = None
    last: Edges | None = None
    for number, frame in enumerate(pictures):
        if number >= _LOOKS and number % (number // _LOOKS + 1):
            continue
        found = [one.box for one in detector.detect(frame)]
        if not found:
            continue
        if last is None or box is None:
            last = box = max(found, key=lambda edges: edges[2] - edges[0])
            continue
        near = max(found, key=lambda edges: overlap(edges, last or edges))
        if overlap(near, last) > 0.1:  # another face elsewhere is not this one
            last, box = near, union(box, near)
    if box is None:
        raise FommError("No face was found.", "Crop it another way: motion, center, pad or x,y,w,h.")
    return square(clip(box, width, height), width, height, PAD)

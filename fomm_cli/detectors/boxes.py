"""One fixed square box for a whole clip or picture, found in it: around the largest face, or around what moves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from fomm_cli.boxes import Box, Edges, clip, overlap, square, union
from fomm_cli.detectors.faces import FaceDetector
from fomm_cli.detectors.protocol import BoxDetector
from fomm_cli.detectors.tracking import MotionFinder
from fomm_cli.errors import FommError

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
    detector_path   the network of `face`, None = the public one
    detector        used for `face` instead of that network
    The box is a square; it reaches beyond the picture only where that is too small for it.
    """
    pictures = iter([frames] if isinstance(frames, np.ndarray) else frames)
    first = next(pictures, None)
    if first is None:
        raise FommError("There is no picture to find a box in.")
    height, width = first.shape[:2]
    if method == "motion":
        return _motion(chain([first], pictures), width, height)
    if method == "face":
        return _face(chain([first], pictures), detector or FaceDetector(detector_path), width, height)
    raise FommError(f"{method!r} is no way to crop.", "Use face or motion.")


def face_boxes(picture: np.ndarray, detector: BoxDetector | None = None) -> list[Box]:
    """The square that `fixed_box` would give for each face of a picture if it were the largest, from left to right."""
    height, width = picture.shape[:2]
    found = [face.box for face in (detector or FaceDetector()).detect(picture)]
    return sorted(square(clip(edges, width, height), width, height, PAD) for edges in found)


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
        found = [face.box for face in detector.detect(frame)]
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

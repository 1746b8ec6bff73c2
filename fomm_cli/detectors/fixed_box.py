"""One fixed square box for a whole clip or picture, found in it: around the largest face, or around what moves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fomm_cli.boxes import Box, Edges, clip, overlap, square, union
from fomm_cli.detectors.faces import FaceDetector
from fomm_cli.detectors.protocol import BoxDetector
from fomm_cli.detectors.tracking import MotionFinder
from fomm_cli.errors import FommError
from fomm_cli.model.family import FRAMING

PAD = 0.1  # shares of a box around movement added at each side
_LOOKS = 6  # a face is looked for in so many pictures of a clip at the full rate, then ever more rarely

SURE = 0.9
"""Score from which a face counts that nobody has asked for: of 502 pictures of people and toons all but 6 reach it, of
94 drawn animals one does."""

LOOSE = 1.25
ASIDE = 0.15
"""How far a square may be from the framing, as a factor of its side and in sides, and still show the face about so:
what a network has seen in training varies as much (nine tenths of moved portraits by 1.4 and 0.22, of toons by 1.25
and 0.1)."""


class Face(NamedTuple):
    """The largest face of a picture, or of the first picture of a clip that shows one.

    box   around its head, wherever it goes
    head  the longer side of its head's box, on average
    """

    box: Edges
    head: float

    def framed(self, width: int, height: int, framing: float = FRAMING) -> Box:
        """The square that shows it with `framing` heads a side, and as much more as it moves, in such a picture."""
        box = clip(self.box, width, height)
        longer = max(box[2] - box[0], box[3] - box[1])
        return square(box, width, height, (framing - 1) * self.head / longer / 2)

    def fits(self, box: Box, width: int, height: int, framing: float = FRAMING) -> bool:
        """Whether a square box of the picture shows it about as `framed` does."""
        wanted = self.framed(width, height, framing)
        apart = max(
            abs(2 * box.left + box.width - 2 * wanted.left - wanted.width),
            abs(2 * box.top + box.height - 2 * wanted.top - wanted.height),
        )
        near = apart / 2 <= ASIDE * wanted.width
        return near and wanted.width / LOOSE <= min(box.width, box.height) <= wanted.width * LOOSE


def fixed_box(
    frames: np.ndarray | Iterable[np.ndarray],
    method: str,
    detector_path: str | Path | None = None,
    detector: BoxDetector | None = None,
    framing: float = FRAMING,
) -> Box:
    """The square to cut out of every picture of a clip.

    frames          one picture, uint8 (H, W, 3), or the pictures of a clip in order, all of one size
    method          face     around the largest face, wherever it goes during the clip
                    motion   around what moves
    detector_path   the network of `face`, None = the bundled one
    detector        used for `face` instead of that network
    framing         of `face`: side of the square, in longer sides of the box around the head
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
        found = find_face(chain([first], pictures), detector or FaceDetector(detector_path))
        if found is None:
            raise FommError("No face was found.", "Crop it another way: motion, center, pad or x,y,w,h.")
        return found.framed(width, height, framing)
    raise FommError(f"{method!r} is no way to crop.", "Use face or motion.")


def _motion(pictures: Iterable[np.ndarray], width: int, height: int) -> Box:
    finder = MotionFinder(max_frames=1 << 62)
    for number, frame in enumerate(pictures):
        finder.look(number, frame, False)
    track = finder.finish()[0]
    if not track.score:
        raise FommError("Nothing moves in this clip.", "Crop it another way: face, center, pad or x,y,w,h.")
    return square(track.box, width, height, PAD)


def find_face(pictures: Iterable[np.ndarray], detector: BoxDetector, sure: float = 0.0) -> Face | None:
    """The largest face of the first picture that shows one, as it moves about; None where there is none.

    sure  score that it must reach in some picture
    """
    box: Edges | None = None
    last: Edges | None = None
    heads: list[float] = []
    score = 0.0
    for number, frame in enumerate(pictures):
        if number >= _LOOKS and number % (number // _LOOKS + 1):
            continue
        found = detector.detect(frame)
        if not found:
            continue
        if last is None or box is None:
            near = max(found, key=lambda face: face.box[2] - face.box[0])
        else:
            near = max(found, key=lambda face: overlap(face.box, last or face.box))
            if overlap(near.box, last) <= 0.1:  # another face elsewhere is not this one
                continue
        last = near.box
        box = near.box if box is None else union(box, near.box)
        heads.append(max(last[2] - last[0], last[3] - last[1]))
        score = max(score, near.score)
    return None if box is None or score < sure else Face(box, float(np.mean(heads)))

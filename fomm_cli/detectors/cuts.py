"""Where a film changes from one shot to the next."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIZE = (48, 27)
_BINS = 8
CHANGE = 0.10  # mean change of a pixel, of 1, that a cut has at least
COLOURS = 0.30  # share of the pixels whose colour class has no counterpart in the picture before
JUMP = 3.0  # times the usual change of this shot


class ShotFinder:
    """Told of pictures in order, says of each whether a new shot begins with it.

    A cut changes most pixels and the colours of the whole, and far more than the motion around it does.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._colours: np.ndarray | None = None
        self._usual = 0.0

    def cut(self, frame: np.ndarray) -> bool:
        """Whether the picture, uint8 (H, W, 3), is the first of a shot; never true of the very first picture."""
        step = max(1, min(frame.shape[1] // (4 * _SIZE[0]), frame.shape[0] // (4 * _SIZE[1])))
        small = Image.fromarray(np.ascontiguousarray(frame[::step, ::step])).resize(_SIZE, Image.Resampling.BOX)
        picture = np.asarray(small, np.float32) / 255.0
        classes = (picture * (_BINS - 0.01)).astype(np.int64) @ np.array([_BINS * _BINS, _BINS, 1])
        colours = np.bincount(classes.ravel(), minlength=_BINS**3) / classes.size
        last, before = self._last, self._colours
        self._last, self._colours = picture, colours
        if last is None or before is None:
            return False
        change = float(np.abs(picture - last).mean())
        shift = float(np.abs(colours - before).sum()) / 2
        found = change > CHANGE and shift > COLOURS and change > JUMP * self._usual
        self._usual = 0.0 if found else 0.8 * self._usual + 0.2 * change
        return found

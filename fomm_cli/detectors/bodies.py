"""The 17 joints of a body."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

CONFIDENT = 0.3
"""Joints below this score count as not found; the makers' demos use it too."""


class SquareNetwork(Protocol):
    """Called with a picture (1, side, side, 3) it gives (..., 17, 3): y, x and score, each in [0, 1]."""

    side: int
    digest: str

    def __call__(self, batch: np.ndarray) -> np.ndarray: ...


class BodyJoints:
    """MoveNet Lightning, one person, in the order of COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees,
    ankles, left of each pair first (the person's left).

    The whole frame is shown to it, padded to a square, never stretched.
    """

    name = "body-joints"

    def __init__(self, network: SquareNetwork, confident: float = CONFIDENT) -> None:
        self.network = network
        self.digest = network.digest
        self.confident = confident

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        height, width = frame.shape[:2]
        side = max(height, width)
        square = np.zeros((side, side, 3), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = frame
        resized = Image.fromarray(square).resize((self.network.side, self.network.side), Image.Resampling.BILINEAR)
        joints = self.network(np.asarray(resized)[None]).reshape(17, 3).astype(np.float64)  # y, x, score, in [0, 1]
        points = joints[:, 1::-1] * side - (left, top)
        points[joints[:, 2] < self.confident] = np.nan
        return None if np.isnan(points).all() else points

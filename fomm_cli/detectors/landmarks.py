"""The 68 points of a face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fomm_cli.detectors.geometry import Edges
from fomm_cli.detectors.sessions import OnnxNetwork

BOX = 1.1 * 1.15
"""Side of the square crop over the longer side of the face box: what the network was trained on, about."""

FindFace = Callable[[np.ndarray], Edges | None]
"""The most prominent face of a frame uint8 (H, W, 3): left, top, right, bottom in pixels; None where there is none."""


class FaceLandmarks:
    """Peppa's slim landmark network on a square around the face that `find` sees.

    The face is looked for anew in every frame, as the published evaluation does: what a result has lost counts as lost.
    """

    name = "face-landmarks"
    SIDE = 160

    def __init__(self, path: Path, find: FindFace, found_by: str | None = None) -> None:
        """found_by: digest of the network behind `find`."""
        self.network = OnnxNetwork(path)
        self.find = find
        self.digest = self.network.digest + (f"+{found_by}" if found_by else "")

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        face = self.find(frame)
        if face is None:
            return None
        left, top, right, bottom = face
        side = max(right - left, bottom - top) * BOX
        if side < 1:
            return None
        x, y = (left + right - side) / 2, (top + bottom - side) / 2
        crop = cut(frame, (x, y, x + side, y + side), self.SIDE)
        batch = (crop[..., ::-1].astype(np.float32) - 127) / 127  # it reads blue, green, red
        answer = self.network(np.ascontiguousarray(batch.transpose(2, 0, 1)[None]))[0]
        return answer[:136].reshape(68, 2).astype(np.float64) * side + (x, y)


def cut(frame: np.ndarray, box: Edges, side: int) -> np.ndarray:
    """The content of a box as a square of `side` pixels, anti-aliased; beyond the frame its border is repeated."""
    left, top, right, bottom = box
    height, width = frame.shape[:2]
    reach = int(np.ceil(max(0, -left, -top, right - width, bottom - height)))
    if reach:
        frame = np.pad(frame, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    inside = (left + reach, top + reach, right + reach, bottom + reach)
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR, box=inside))

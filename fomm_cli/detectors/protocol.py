"""What a detector is."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from fomm_cli.detectors.geometry import Edges


class Detection(NamedTuple):
    """One thing that was found in one picture.

    box     left, top, right, bottom in pixels; it may reach beyond the picture
    score   how sure the detector is, in [0, 1]
    """

    box: Edges
    score: float


class BoxDetector(Protocol):
    """Anything that finds boxes in a single picture."""

    def detect(self, frame: np.ndarray) -> list[Detection]:
        """What is in a picture, uint8 (H, W, 3), the surest first."""
        ...

"""What a detector is."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from fomm_cli.boxes import Edges


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


class PointDetector(Protocol):
    """Finds the same points in every frame.

    name    in reports
    digest  SHA-256 of its network's file (several: joined by +); None where it has no file of its own
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str | None: ...

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        """Points of a frame uint8 (H, W, 3): float (N, 2), x and y in pixels, x right, y down, 0 at the outer edge of
        the first pixel; a row of NaN where a point was not found. None where there is nothing at all."""
        ...


class EmbeddingDetector(Protocol):
    """Tells who is in a frame."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str | None: ...

    def embedding(self, frame: np.ndarray) -> np.ndarray | None:
        """Of a frame uint8 (H, W, 3): float (D,), near for the same person. None where nobody is found."""
        ...

    def embedding_at(self, frame: np.ndarray, points: np.ndarray | None) -> np.ndarray | None:
        """The same where the points of its suite are known already, None if there were none: nothing is found twice."""
        ...

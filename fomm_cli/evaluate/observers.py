"""Detectors at work in an evaluation: where points are and who is seen, in the truth and in a result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.detectors.protocol import EmbeddingDetector, PointDetector
from fomm_cli.evaluate.records import Tally

PUBLISHED_SIDE = 256
"""Distances are given in pixels of pictures this large, as in the papers."""


class Sight(NamedTuple):
    """One frame.

    points     (N, 2) in pixels, NaN where a point is missing; None where nothing was found or asked for
    embedding  (D,), or None
    """

    points: np.ndarray | None
    embedding: np.ndarray | None


class Observers:
    """points: for AKD and MKR; embedding: for AED. Either may be None; together they are of one suite."""

    def __init__(self, points: PointDetector | None = None, embedding: EmbeddingDetector | None = None) -> None:
        self.points = points
        self.embedding = embedding
        self._last: tuple[np.ndarray, Sight] | None = None

    def __bool__(self) -> bool:
        return self.points is not None or self.embedding is not None

    def look(self, frames: np.ndarray) -> list[Sight]:
        """What is seen in uint8 (n, H, W, 3)."""
        return [self._look(frame) for frame in frames] if self else []

    def _look(self, frame: np.ndarray) -> Sight:
        if self._last is not None and np.array_equal(self._last[0], frame):
            return self._last[1]  # a copied source stands still: look once
        points = self.points.points(frame) if self.points is not None else None
        seen = None
        if self.embedding is not None:
            at = self.points is not None
            seen = self.embedding.embedding_at(frame, points) if at else self.embedding.embedding(frame)
        sight = Sight(points, seen)
        self._last = (frame, sight)
        return sight

    def compare(self, tally: Tally, truth: list[Sight], result: list[Sight], size: tuple[int, int]) -> None:
        """Add frames of the truth and of a result, both of `size` (H, W), to a tally."""
        if not self:
            return
        scale = (PUBLISHED_SIDE / size[1], PUBLISHED_SIDE / size[0])
        for true, made in zip(truth, result, strict=True):
            if self.points is not None:
                compare_points(tally, true.points, made.points, scale)
            if self.embedding is not None:
                compare_embeddings(tally, true.embedding, made.embedding)


def compare_points(
    tally: Tally,
    true: np.ndarray | None,
    made: np.ndarray | None,
    scale: tuple[float, float] = (1.0, 1.0),
    distance: str | None = "akd",
) -> None:
    """One frame of AKD and MKR.

    AKD: mean of |x - x'| and |y - y'| over the points found in both. A frame without any adds nothing.
    MKR: of the points found in the truth, the share not found in the result. A frame whose truth has none adds nothing.
    Either way it is written down as missing.

    scale     x and y factors to the pixels in which distances are given
    distance  what AKD is called; None leaves it out, where it would be one of shapes, too
    """
    known = _found(true)
    if not known.any():
        tally.miss("points_truth")
        return
    assert true is not None
    seen = _found(made) if made is not None else np.zeros_like(known)
    tally.add("mkr", [float((known & ~seen).sum() / known.sum())])
    if not seen.any():
        tally.miss("points_result")
    both = known & seen
    if distance is not None and both.any():
        assert made is not None
        tally.add(distance, [float((np.abs(true[both] - made[both]) * scale).mean())])


def _found(points: np.ndarray | None) -> np.ndarray:
    """(N,) bool: which points are there."""
    return np.zeros(1, bool) if points is None else ~np.isnan(points).any(axis=1)


def compare_embeddings(
    tally: Tally,
    true: np.ndarray | None,
    made: np.ndarray | None,
    distance: str = "aed",
    squared: str | None = "aed_squared",
) -> None:
    """One frame of AED, as the Euclidean distance and, where it has a name, as the sum of squared differences."""
    if true is None:
        tally.miss("embedding_truth")
        return
    if made is None:
        tally.miss("embedding_result")
        return
    difference = np.asarray(true, np.float64) - np.asarray(made, np.float64)
    total = float(difference @ difference)
    tally.add(distance, [total**0.5])
    if squared is not None:
        tally.add(squared, [total])


def pose_error(
    driving: list[np.ndarray | None], result: list[np.ndarray | None], scale: tuple[float, float] = (1.0, 1.0)
) -> list[float]:
    """How far the points of a result are from those of its driving clip once the difference in shape is taken out.

    Two people's points differ even in one pose. What differs all the time is shape, and where the subject stands: for
    each point its mean offset over the clip is subtracted. The rest is motion that was not followed. A result
    that stands still scores as much as the driving clip moves.

    driving, result  points (N, 2) a frame, NaN or None where missing: such points are left out
    scale            x and y factors to the pixels in which the distance is given
    returns          of each frame with anything to compare, the mean of |dx| and |dy|
    """
    shape = next((points.shape for points in (*driving, *result) if points is not None), None)
    if shape is None:
        return []
    nothing = np.full(shape, np.nan)
    offsets = np.stack(
        [
            (nothing if made is None else made) - (nothing if true is None else true)
            for true, made in zip(driving, result, strict=True)
        ]
    )
    offsets = offsets * scale
    known: NDArray[np.bool_] = np.asarray(np.isfinite(offsets).all(axis=2))  # (frames, N)
    counts = known.sum(axis=0)[:, None]
    middle = np.where(known[..., None], offsets, 0).sum(axis=0) / np.maximum(counts, 1)
    errors = np.abs(offsets - middle).mean(axis=2)
    return [float(errors[frame, known[frame]].mean()) for frame in range(len(offsets)) if known[frame].any()]

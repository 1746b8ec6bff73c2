"""Whose motion goes where: driving keypoints made the source's, absolutely or relative to a common pose.

Works on numpy arrays and on torch tensors alike, and gives back the kind it was given.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError, nearest

Mode = Literal["relative", "absolute"]
MODES = list(get_args(Mode))

_FLAT = 1e-6
"""A hull smaller than this (in squared units of [-1, 1]) has no size to compare with; the whole picture has 4."""


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise FommError(f"There is no mode {mode!r}.", nearest(mode, MODES))


def transfer(
    source: Any, driving: Any, initial: Any | None = None, mode: str = "relative", adapt_scale: bool = True
) -> Any:
    """The keypoints to render with.

    source, initial  poses of batch 1 (or B); `initial` is the driving pose that stands for the source's
    driving          poses of batch B
    mode             absolute: the driving keypoints as they are
                     relative: p = p_source + s (p_driving - p_initial), J = J_driving J_initial^-1 J_source
    adapt_scale      s = sqrt(hull area of the source's points / that of the initial ones), else 1; also 1 where one of
                     the hulls is degenerate, so that points on a line move by what they are told
    returns          a pose of batch B and of the type of `driving`

    A pose is any NamedTuple whose first two fields are the points (B, K, 2) and the Jacobians (B, K, 2, 2) or None.
    """
    check_mode(mode)
    if mode == "absolute":
        return driving
    if initial is None:
        raise ValueError("relative motion needs the initial driving pose")
    p_source, p_driving, p_initial = (_array(pose[0]) for pose in (source, driving, initial))
    scale = hull_scale(p_source, p_initial) if adapt_scale else np.ones(1)
    value = p_source + scale[:, None, None].astype(p_source.dtype) * (p_driving - p_initial)
    jacobian = None
    if driving[1] is not None:
        j_source, j_driving, j_initial = (_array(pose[1]) for pose in (source, driving, initial))
        jacobian = _like(j_driving @ inverse(j_initial) @ j_source, driving[1])
    return type(driving)(_like(value, driving[0]), jacobian)


def inverse(matrix: NDArray[Any]) -> NDArray[Any]:
    """The inverse of (..., 2, 2) in closed form; a singular matrix is moved off zero rather than blown to infinity."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    safe = np.where(np.abs(determinant) < 1e-8, np.where(determinant < 0, -1e-8, 1e-8), determinant)
    adjugate = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], -2)
    return adjugate / safe.astype(matrix.dtype)[..., None, None]


def hull_scale(source: NDArray[Any], initial: NDArray[Any]) -> NDArray[np.float64]:
    """sqrt of the ratio of the hull areas of two point sets (B, K, 2); (B,), 1 where either hull is degenerate."""
    ours = np.array([hull_area(points) for points in source])
    theirs = np.array([hull_area(points) for points in initial])
    usable = (ours > _FLAT) & (theirs > _FLAT)
    ratio = np.divide(ours, theirs, out=np.ones(np.broadcast_shapes(ours.shape, theirs.shape)), where=usable)
    return np.sqrt(ratio)


def hull_area(points: NDArray[Any]) -> float:
    """The area of the convex hull of (K, 2) points; 0 for fewer than three, for points on a line or not finite."""
    points = np.asarray(points, dtype=np.float64)
    if len(points) < 3 or not np.isfinite(points).all():
        return 0.0
    ordered = sorted({(float(x), float(y)) for x, y in points})
    ring = _half(ordered)[:-1] + _half(ordered[::-1])[:-1]
    x, y = np.array(ring).T if len(ring) > 2 else np.zeros((2, 1))
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _half(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """One side of the hull: walk along the sorted points and drop whatever turns the wrong way."""
    kept: list[tuple[float, float]] = []
    for point in ordered:
        while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    return kept


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    return values.detach().cpu().numpy()


def _like(values: NDArray[Any], sample: Any) -> Any:
    if isinstance(sample, np.ndarray):
        return values.astype(sample.dtype, copy=False)
    return sample.new_tensor(values)

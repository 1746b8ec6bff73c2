"""Arithmetic of poses in numpy, for every family: hulls, inverses, the normal form in which poses are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mapped(pose: Any, function: Callable[[Any], Any]) -> Any:
    """A pose with `function` applied to each field that is there: slicing, moving, detaching."""
    return type(pose)(*(None if field is None else function(field) for field in pose))


def pick(poses: Any, rows: Any) -> Any:
    """Some rows of a batch of poses: a slice or a list of numbers."""
    return mapped(poses, lambda field: field[rows])


def joined(poses: Sequence[Any]) -> Any:
    """Several batches of poses, of arrays, as one."""
    fields = zip(*poses, strict=True)
    return type(poses[0])(*(None if parts[0] is None else np.concatenate(parts) for parts in fields))


_FLAT = 1e-6
"""A hull smaller than this (in squared units of [-1, 1]) has no size to compare with; the whole picture has 4."""


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


def normal(values: Any, centre: bool) -> NDArray[np.float64]:
    """(B, K, ...) with its mean over K removed if asked, and its root mean square over K at 1."""
    array = np.asarray(values, dtype=np.float64)
    if centre:
        array = array - array.mean(axis=1, keepdims=True)
    rest = tuple(range(2, array.ndim))
    size = np.sqrt(np.square(array).sum(axis=rest, keepdims=True).mean(axis=1, keepdims=True))
    return array / np.maximum(size, 1e-9)


def as_array(values: Any) -> NDArray[Any]:
    """Array or tensor as an array."""
    if isinstance(values, np.ndarray):
        return values
    return values.detach().cpu().numpy()


def like(values: NDArray[Any], sample: Any) -> Any:
    """An array as what `sample` is, array or tensor, of its dtype and on its device."""
    if isinstance(sample, np.ndarray):
        return values.astype(sample.dtype, copy=False)
    return sample.new_tensor(values)


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

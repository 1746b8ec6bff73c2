"""Which triangle each pixel sees: a z-buffer in whole arrays.

Triangles of meshes are a few pixels large. Those whose bounding boxes have one shape are tested together, pixel by
pixel of that box, and a packed key of depth and number lets one pass keep the nearest. Values are interpolated for the
winners alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BITS = 20  # of a key, for the triangle's number
_DEPTHS = 2**30


class Hits(NamedTuple):
    """Pixels that see a triangle, in order of the picture.

    pixel     (N,) int64, row by row
    triangle  (N,) int64
    weights   (N, 3) float32: barycentric coordinates
    """

    pixel: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray

    def take(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Interpolates what the vertices carry: (V, C) -> (N, C)."""
        corners = triangles[self.triangle]
        found = values[corners[:, 0]] * self.weights[:, :1]
        found += values[corners[:, 1]] * self.weights[:, 1:2]
        found += values[corners[:, 2]] * self.weights[:, 2:]
        return found

    def where(self, chosen: np.ndarray) -> Hits:
        return Hits(self.pixel[chosen], self.triangle[chosen], self.weights[chosen])


def rasterise(
    vertices: np.ndarray, triangles: np.ndarray, height: int, width: int, bias: np.ndarray | None = None
) -> Hits:
    """What is nearest in each pixel.

    vertices   (V, 3) float32: x, y in pixels, pixel centres at whole numbers; the larger z, the nearer
    triangles  (N, 3) of vertices, seen from either side, fewer than 2^20
    bias       (N,) added to their z
    """
    corners = triangles.T
    x, y, z = ([np.ascontiguousarray(axis)[corner] for corner in corners] for axis in vertices.T)
    left, right = np.ceil(_least(x).clip(0)), np.floor(_most(x).clip(None, width - 1))
    top, bottom = np.ceil(_least(y).clip(0)), np.floor(_most(y).clip(None, height - 1))
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    kept = np.flatnonzero((left <= right) & (top <= bottom) & (np.abs(area) > 1e-9))
    x, y, z = ([corner[kept] for corner in axis] for axis in (x, y, z))
    left, top = left[kept], top[kept]
    wide, high = (right[kept] - left).astype(np.int64) + 1, (bottom[kept] - top).astype(np.int64) + 1
    planes = _planes(x, y, z, area[kept], left, top)
    if bias is not None:
        planes[6] += bias[kept]
    if len(kept):
        low, deep = float(planes[6].min()) - 1, float(planes[6].max()) + 1
        planes[6] -= low
        planes[6:] *= _DEPTHS / (deep - low)
    corner = top.astype(np.int64) * width + left.astype(np.int64)
    nearest = np.full(height * width, -1, np.int64)
    shape = wide * 65536 + high
    order = np.argsort(shape, kind="stable")
    starts = np.flatnonzero(np.diff(shape[order], prepend=-1))
    for start, end in zip(starts, np.append(starts[1:], len(order)), strict=False):
        chosen = order[start:end]
        _claim(
            nearest, planes[:, chosen], corner[chosen], kept[chosen], int(wide[chosen[0]]), int(high[chosen[0]]), width
        )
    pixel = np.flatnonzero(nearest >= 0)
    triangle = nearest[pixel] & (2**_BITS - 1)
    return Hits(pixel, triangle, _barycentric(vertices, triangles[triangle], pixel % width, pixel // width))


def _least(axis: list[np.ndarray]) -> np.ndarray:
    return np.minimum(np.minimum(axis[0], axis[1]), axis[2])


def _most(axis: list[np.ndarray]) -> np.ndarray:
    return np.maximum(np.maximum(axis[0], axis[1]), axis[2])


def _planes(
    x: list[np.ndarray], y: list[np.ndarray], z: list[np.ndarray], area: np.ndarray, left: np.ndarray, top: np.ndarray
) -> np.ndarray:
    """(9, N): value at the box's first pixel and slopes along x and y, of two of the weights and of depth."""
    one = [(y[2] - y[0]) / area, (x[0] - x[2]) / area]
    two = [(y[0] - y[1]) / area, (x[1] - x[0]) / area]
    dx, dy = left - x[0], top - y[0]
    first, second = (dx * a + dy * b for a, b in (one, two))
    rise, climb = z[1] - z[0], z[2] - z[0]
    depth = [z[0] + rise * first + climb * second] + [rise * one[k] + climb * two[k] for k in (0, 1)]
    return np.stack([first, *one, second, *two, *depth])


def _claim(
    nearest: np.ndarray, planes: np.ndarray, corner: np.ndarray, number: np.ndarray, wide: int, high: int, width: int
) -> None:
    across = np.arange(wide, dtype=np.float32)[None, None]
    down = np.arange(high, dtype=np.float32)[:, None, None]
    at = planes[:, None, :, None]
    first = at[0] + at[1] * across + at[2] * down  # (high, N, wide)
    second = at[3] + at[4] * across + at[5] * down
    inside = np.flatnonzero((first >= -1e-4) & (second >= -1e-4) & (first + second <= 1.0001))
    depth = (at[6] + at[7] * across + at[8] * down).ravel()[inside]
    which = (inside // wide) % len(corner)
    pixel = corner[which] + inside % wide + (inside // (wide * len(corner))) * width
    np.maximum.at(nearest, pixel, (depth.clip(0).astype(np.int64) << _BITS) | number[which])


def _barycentric(vertices: np.ndarray, corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[corners[:, k], :2] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    one = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y - a[:, 1])) / area
    two = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])) / area
    return np.stack([1 - one - two, one, two], 1).astype(np.float32)

"""Motion as numbers that may be scaled, averaged and filtered: poses relative to an anchor, and back. Numpy alone.

Every family whose motion can be edited has one `Space`. `PointSpace` serves families whose pose is points in the
picture, with or without a 2x2 frame at each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.pose import inverse, joined, pick

Array = NDArray[np.float64]


class Reach(NamedTuple):
    """How far the movements between two frames of a clip go that a network was trained on: 99.9 % of them stay within.

    shift  of a point from its anchor, in units of [-1, 1]
    frame  Frobenius norm of the logarithm of a frame's change; 0 without frames
    """

    shift: float = 0.48
    frame: float = 0.8


BEYOND = 1.25
"""When limits are on, movements go no further than this times the reach."""

FLATTEST, THINNEST = 0.15, 6.0
"""When limits are on: the least determinant of a frame's change, and the largest ratio of its two stretches."""

BLOCK = 4096
"""Frames that are worked on at once."""

NEAR = 0.01
"""Residuals below this, in units of [-1, 1], count alike when a similarity is fitted."""


class Split(NamedTuple):
    """Channels taken apart into the motion of the whole and what is left of it.

    head       (T, H): logarithms and offsets, zeros = as the anchor; `Space.parts` says which columns are what
    rest       (T, C): channels, as if the whole had not moved
    explained  the share of squared movement that the head alone makes, in [0, 1]
    """

    head: Array
    rest: Array
    explained: float


class Space(Protocol):
    """What a family supplies for its motion to be smoothed, scaled, blended, held and looped: `Space(anchor)`.

    Channels are (T, C) plain numbers in which straight lines are sound motion: zeros are the anchor's pose, half of
    them half the movement. Channels in the space of one anchor, given to that of another, are the same motion there.
    A family that cannot say which movement is the whole's raises FommError in `split`, as in `mirrored`.

    anchor   a pose of batch 1
    parts    columns of `Split.head`: of `size`, `turn` and `place` those that there are
    neutral  the pose of nobody, of batch 1: poses of its space hold the movement and no shape
    """

    anchor: Any
    parts: Mapping[str, slice]

    @property
    def neutral(self) -> Any: ...

    def channels(self, poses: Any) -> Array:
        """Poses of batch T as numbers relative to the anchor."""
        ...

    def poses(self, channels: Array) -> Any:
        """The anchor moved by channels: poses of batch T."""
        ...

    def split(self, channels: Array) -> Split:
        """The movement of the whole, and the rest."""
        ...

    def join(self, head: Array, rest: Array) -> Array:
        """The channels of both together."""
        ...

    def limited(self, channels: Array, reach: Reach) -> Array:
        """Channels that no renderer tears on; the same numbers where nothing comes near a limit."""
        ...

    def reach(self, channels: Array) -> Reach:
        """Of these movements, whatever their anchors were."""
        ...

    def mirrored(self, channels: Array, partner: list[int]) -> Array:
        """The motion seen in a mirror; `partner[k]` is the point whose mirror image moves as point k does."""
        ...


class PointSpace:
    """The shift of each point, and the logarithm of each frame's change M = J J_anchor^-1.

    Frames of a detector may have a negative determinant and so no logarithm; their change since a pose of the same
    object is tame. Scaled by its logarithm a frame never folds, which it does when J itself is scaled.

    anchor  a NamedTuple of arrays whose first field is the points (1, K, 2); the second, where there is one and it is
            not None, their frames (1, K, 2, 2)
    """

    parts: Mapping[str, slice] = {"size": slice(0, 1), "turn": slice(1, 2), "place": slice(2, 4)}

    def __init__(self, anchor: Any) -> None:
        self.anchor = anchor
        self._points = np.asarray(anchor[0], dtype=np.float64)
        framed = len(anchor) > 1 and anchor[1] is not None
        self._frames = np.asarray(anchor[1], dtype=np.float64) if framed else None
        if self._points.shape[2:] != (2,) or (
            self._frames is not None and self._frames.shape != (*self._points.shape, 2)
        ):
            raise ValueError("points are (1, K, 2), their frames (1, K, 2, 2)")

    @property
    def neutral(self) -> Any:
        points = np.zeros_like(self.anchor[0])
        frames = None if self._frames is None else np.zeros_like(self.anchor[1]) + np.eye(2, dtype=points.dtype)
        return self._pose(points, frames)

    def channels(self, poses: Any) -> Array:
        return in_blocks(lambda rows: self._channels(pick(poses, rows)), len(poses[0]))

    def _channels(self, poses: Any) -> Array:
        shift = np.asarray(poses[0], dtype=np.float64) - self._points
        if self._frames is None:
            return _flat(shift, None)
        return _flat(shift, logarithm(np.asarray(poses[1], dtype=np.float64) @ inverse(self._frames)))

    def poses(self, channels: Array) -> Any:
        return joined([self._poses(channels[rows]) for rows in blocks(len(channels))])

    def _poses(self, channels: Array) -> Any:
        shift, log = self._parted(channels)
        points = (self._points + shift).astype(self.anchor[0].dtype)
        if log is None or self._frames is None:
            return self._pose(points, None)
        return self._pose(points, (exponential(log) @ self._frames).astype(self.anchor[1].dtype))

    def split(self, channels: Array) -> Split:
        """The similarity about the anchor's centre that most points agree with; of less than three only a shift."""
        parts = [self._split(channels[rows]) for rows in blocks(len(channels))]
        heads, rests, totals, lefts = zip(*parts, strict=True)
        total, left = sum(totals), sum(lefts)
        return Split(np.concatenate(heads), np.concatenate(rests), max(0.0, 1 - left / total) if total > 1e-12 else 1.0)

    def _split(self, channels: Array) -> tuple[Array, Array, float, float]:
        """Head and rest, and how much moves: before and after."""
        shift, log = self._parted(channels)
        still, moved = self._centred(np.zeros((1, *shift.shape[1:])))[0], self._centred(shift)
        k, b = similarity(still, moved)
        local = (moved - b[:, None]) / k[:, None] - still
        head = np.stack([np.log(np.abs(k)), np.angle(k), b.real, b.imag], axis=1)
        total, left = (float(np.square(np.abs(moves)).sum()) for moves in (moved - still, local))
        if log is not None:
            log = logarithm(inverse(_as_matrix(k)) @ exponential(log))
        return head, _flat(_real(local), log), total, left

    def join(self, head: Array, rest: Array) -> Array:
        return in_blocks(lambda rows: self._joined(head[rows], rest[rows]), len(rest))

    def _joined(self, head: Array, rest: Array) -> Array:
        shift, log = self._parted(rest)
        k, b = np.exp(head[:, 0] + 1j * head[:, 1]), head[:, 2] + 1j * head[:, 3]
        still = self._centred(np.zeros((1, *shift.shape[1:])))[0]
        moved = k[:, None] * self._centred(shift) + b[:, None]
        if log is not None:
            log = logarithm(_as_matrix(k) @ exponential(log))
        return _flat(_real(moved - still), log)

    def limited(self, channels: Array, reach: Reach) -> Array:
        return in_blocks(lambda rows: self._limited(channels[rows], reach), len(channels))

    def _limited(self, channels: Array, reach: Reach) -> Array:
        shift, log = self._parted(channels)
        bent = None if log is None else _unfolded(_soft(log, BEYOND * reach.frame, 2))
        return _flat(_soft(shift, BEYOND * reach.shift, 1), bent)

    def reach(self, channels: Array) -> Reach:
        shift, log = self._parted(channels)
        frames = np.zeros(1) if log is None else np.linalg.norm(log, axis=(2, 3))
        return Reach(*(float(np.quantile(sizes, 0.999)) for sizes in (np.linalg.norm(shift, axis=2), frames)))

    def mirrored(self, channels: Array, partner: list[int]) -> Array:
        shift, log = self._parted(channels)
        flip = np.array([-1.0, 1.0])  # F = diag(-1, 1): dp' = F dp, log(F M F) = F log(M) F
        mirrored = None if log is None else log[:, partner] * np.outer(flip, flip)
        return _flat(shift[:, partner] * flip, mirrored)

    def _pose(self, points: Any, frames: Any) -> Any:
        fields = (points, frames)[: len(self.anchor)]
        return type(self.anchor)(*fields, *[None] * (len(self.anchor) - len(fields)))

    def _parted(self, channels: Array) -> tuple[Array, Array | None]:
        """Shifts (T, K, 2) and logarithms (T, K, 2, 2), None without frames."""
        count = self._points.shape[1]
        shift = channels[:, : 2 * count].reshape(-1, count, 2)
        return shift, None if self._frames is None else channels[:, 2 * count :].reshape(-1, count, 2, 2)

    def _centred(self, shift: Array) -> NDArray[np.complex128]:
        """Shifted points about the anchor's centre, as complex numbers (T, K)."""
        points = self._points - self._points.mean(axis=1, keepdims=True) + shift
        return points[..., 0] + 1j * points[..., 1]


def blocks(count: int) -> list[slice]:
    """Rows by some thousands."""
    return [slice(first, min(first + BLOCK, count)) for first in range(0, max(count, 1), BLOCK)]


def in_blocks(function: Callable[[slice], Array], count: int) -> Array:
    """What `function` makes of some rows, of all: an hour of motion needs no more memory meanwhile than a minute."""
    spans = blocks(count)
    first = function(spans[0])
    if len(spans) == 1:
        return first
    whole = np.empty((count, *first.shape[1:]), first.dtype)
    whole[spans[0]] = first
    for rows in spans[1:]:
        whole[rows] = function(rows)
    return whole


def similarity(still: NDArray[Any], moved: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """k and b, each (T,), complex, of moved ≈ k still + b: size and turn, and place.

    still  (K,) complex, centred; moved  (T, K) complex
    Least squares reweighted 20 times by 1 / max(residual, 0.01), so that a mouth that opens does not tilt the head.
    """
    k, b = np.ones(len(moved), dtype=complex), moved.mean(axis=1)
    spread = float(np.square(np.abs(still)).mean())
    if len(still) < 3 or spread < 1e-8:
        return k, b
    weight = np.ones(moved.shape)
    for _ in range(20):
        share = weight / weight.sum(axis=1, keepdims=True)
        middle, centre = share @ still, (share * moved).sum(axis=1)
        apart, moves = still - middle[:, None], moved - centre[:, None]
        k = (share * moves * apart.conj()).sum(axis=1) / np.maximum((share * np.abs(apart) ** 2).sum(axis=1), 1e-12)
        k = np.where(np.abs(k) < 0.05, 0.05, k)  # a head that has collapsed into a point has no turn to undo
        b = centre - k * middle
        weight = 1 / np.maximum(np.abs(moved - k[:, None] * still - b[:, None]), NEAR)
    return k, b


def logarithm(matrix: Array) -> Array:
    """The principal logarithm of (..., 2, 2); of a matrix that has none, that of the similarity nearest in kind.

    With M = t I + N, N without trace and N^2 = d I: log M = log(det M) / 2 I + g N.
    """
    half, rest, square = _traceless(matrix)
    determinant = half**2 - square
    root = np.sqrt(np.abs(square))
    small = root < 1e-6 * np.abs(half)
    safe = np.where(small, 1.0, root)
    with np.errstate(divide="ignore", invalid="ignore"):
        turning = np.arctan2(safe, half) / safe
        stretching = np.arctanh(np.clip(safe / half, -1, 1)) / safe
        factor = np.nan_to_num(np.where(small, 1 / half, np.where(square < 0, turning, stretching)))
    found = 0.5 * np.log(np.maximum(determinant, 1e-12))[..., None, None] * np.eye(2) + factor[..., None, None] * rest
    none = (determinant < 1e-6) | ((square >= 0) & (half <= 0))
    if none.any():
        size = 0.5 * np.log(np.maximum(np.abs(determinant), 1e-6))
        turn = np.arctan2(matrix[..., 1, 0] - matrix[..., 0, 1], matrix[..., 0, 0] + matrix[..., 1, 1])
        found = np.where(none[..., None, None], _rows(size, -turn, turn, size), found)
    return found


def exponential(log: Array) -> Array:
    """The exponential of (..., 2, 2): always a matrix of positive determinant."""
    half, rest, square = _traceless(log)
    root = np.sqrt(np.abs(square))
    safe = np.where(root < 1e-9, 1.0, root)
    even = np.where(square < 0, np.cos(root), np.cosh(root))
    odd = np.where(root < 1e-9, 1.0, np.where(square < 0, np.sin(safe), np.sinh(safe)) / safe)
    return np.exp(half)[..., None, None] * (even[..., None, None] * np.eye(2) + odd[..., None, None] * rest)


def _traceless(matrix: Array) -> tuple[Array, Array, Array]:
    """t, N and d of M = t I + N, N^2 = d I."""
    half = (matrix[..., 0, 0] + matrix[..., 1, 1]) / 2
    rest = matrix - half[..., None, None] * np.eye(2)
    return half, rest, rest[..., 0, 0] ** 2 + rest[..., 0, 1] * rest[..., 1, 0]


def _unfolded(log: Array) -> Array:
    """Logarithms whose exponential is neither flatter than FLATTEST nor thinner than THINNEST."""
    left, stretch, right = np.linalg.svd(exponential(log))
    tame = np.maximum(stretch, stretch[..., :1] / THINNEST)
    tame = tame * np.sqrt(np.maximum(FLATTEST / tame.prod(axis=-1, keepdims=True), 1))
    bent = (tame != stretch).any(axis=-1)[..., None, None]
    return np.where(bent, logarithm(left @ (tame[..., None] * right)), log)


def _soft(values: Array, limit: float, axes: int) -> Array:
    """Vectors (or matrices) no longer than `limit`; untouched up to 0.8 of it, smooth there."""
    over = tuple(range(-axes, 0))
    size = np.sqrt(np.square(values).sum(axis=over, keepdims=True))
    limit = max(limit, 1e-9)
    knee = 0.8 * limit
    bent = knee + (limit - knee) * np.tanh((size - knee) / (limit - knee))
    return np.where(size > knee, values * (bent / np.maximum(size, 1e-12)), values)


def _flat(shift: Array, log: Array | None) -> Array:
    parts = [shift] if log is None else [shift, log]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _as_matrix(k: NDArray[Any]) -> Array:
    """Multiplication by each of (T,) complex numbers, as (T, 1, 2, 2)."""
    return _rows(k.real, -k.imag, k.imag, k.real)[:, None]


def _rows(a: Any, b: Any, c: Any, d: Any) -> Array:
    return np.stack([np.stack([a, b], axis=-1), np.stack([c, d], axis=-1)], axis=-2)


def _real(points: NDArray[Any]) -> Array:
    return np.stack([points.real, points.imag], axis=-1)

"""Jitter out of motion: a smoother that sees the whole clip, and a filter for a live one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COLUMNS = 64
"""Channels that are smoothed at once."""

NOISE = 1e-4
"""Variance of what a detector says of a coordinate, in squared units of [-1, 1]."""


def smoothed(channels: Array, seconds: Array, strength: float, cuts: Sequence[int] = ()) -> Array:
    """Each number of (T, C) along its times, by what came before and after: no lag, and no bias at the ends.

    strength  0 nothing, 1 much. Velocity is taken for a random walk of density q = 10^(3 - 4 strength) units^2/s^3
    cuts      frames at which something else begins: nothing is averaged over them
    The two-pass smoother of Rauch, Tung and Striebel; times may be uneven.
    """
    if strength == 0:
        return channels
    density, whole = 10 ** (3 - 4 * strength), np.empty_like(channels)
    for first, end in pairwise([0, *sorted(cuts), len(channels)]):
        for column in range(0, channels.shape[1], COLUMNS):  # each by itself: memory for a few of them
            part = slice(first, end), slice(column, column + COLUMNS)
            whole[part] = _smoothed(channels[part], seconds[first:end], density)
    return whole


def _smoothed(seen: Array, seconds: Array, density: float) -> Array:
    """States are (position, velocity) of every channel; their variances are the same for all, whatever the data."""
    count = len(seen)
    means = np.zeros((count, 2, seen.shape[1]))
    spreads, expected, moves = np.zeros((3, count, 2, 2))
    mean = np.stack([seen[0], np.zeros_like(seen[0])])
    spread = np.diag([NOISE, 100.0])
    means[0], spreads[0] = mean, spread
    for at in range(1, count):
        step = seconds[at] - seconds[at - 1]
        moves[at] = move = np.array([[1.0, step], [0.0, 1.0]])
        guess = move @ mean
        walk = density * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        expected[at] = prior = move @ spread @ move.T + walk
        gain = prior[:, 0] / (prior[0, 0] + NOISE)
        means[at] = mean = guess + gain[:, None] * (seen[at] - guess[0])
        spreads[at] = spread = prior - np.outer(gain, prior[0])
    for at in range(count - 2, -1, -1):
        gain = spreads[at] @ moves[at + 1].T @ np.linalg.inv(expected[at + 1])
        means[at] += gain @ (means[at + 1] - moves[at + 1] @ means[at])
    return means[:, 0]


class OneEuro:
    """A filter for motion as it comes in: steady where it rests, quick where it moves (Casiez et al., CHI 2012).

    >>> live = OneEuro(0.5)
    >>> channels = live(channels, seconds)    # frame after frame

    strength  0 to 1: at rest it lets through up to 0.5 + 4 (1 - strength) Hz, and 10 Hz more per unit/s of movement
    """

    def __init__(self, strength: float, beta: float = 10.0, derivative: float = 1.0) -> None:
        self.cutoff = 0.5 + 4 * (1 - strength)
        self.beta, self.derivative = beta, derivative
        self._last: tuple[Array, Array, float] | None = None

    def __call__(self, values: Array, seconds: float) -> Array:
        """The numbers of one frame, filtered; `seconds` is its time, later than the last."""
        if self._last is None:
            self._last = values, np.zeros_like(values), seconds
            return values
        before, speed, then = self._last
        step = max(seconds - then, 1e-6)
        speed = speed + _share(self.derivative, step) * ((values - before) / step - speed)
        now = before + _share(self.cutoff + self.beta * np.abs(speed), step) * (values - before)
        self._last = now, speed, seconds
        return now


def _share(cutoff: Array | float, step: float) -> Array | float:
    """How much of a new value a low-pass filter of this frequency takes after `step` seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))

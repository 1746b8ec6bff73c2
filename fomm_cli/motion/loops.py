"""Motion that ends where it begins."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.model.relative import in_blocks
from fomm_cli.motion.motion import SIZE, Motion

SHORTEST = 1.0
"""Seconds a loop lasts at least."""

LOOKED_AT = 400
"""Frames that are compared with each other at most; a longer clip is looked at in steps, then closely."""


class Loop(NamedTuple):
    """A motion that ends where it begins, and what it was made of.

    begin, end  seconds of the motion that it shows
    back        it then shows them backwards
    """

    motion: Motion
    begin: Fraction
    end: Fraction
    back: bool = False


def cut(motion: Motion) -> Loop:
    """The stretch, of a second or more, whose end is most like its begin, the rest of the difference spread out.

    Two frames fit if their poses are alike and move alike, and not in haste, which would show the seam. Of stretches
    that fit almost equally the longest is taken.
    """
    _enough(motion)
    space = motion.space()
    channels = space.channels(motion.poses)
    first, after = _best(motion, channels)
    looped = motion[first:after]
    gap = channels[first] - channels[after]
    count = max(1, min(round(0.5 * float(motion.rate)), len(looped) // 4))
    rise = smoothstep((1 + np.arange(count)) / (count + 1))
    mended = channels[first:after].copy()
    mended[-count:] += rise[:, None] * gap
    begin, end = motion.times[first], motion.times[after]
    return Loop(replace(looped, poses=space.poses(mended), last=end - motion.times[after - 1]), begin, end)


def pingpong(motion: Motion) -> Loop:
    """Forth and back again; the two turning points are shown once."""
    _enough(motion)
    rows = [*range(len(motion)), *range(len(motion) - 2, 0, -1)]
    end = motion.times[-1]
    back = [end + (end - motion.times[row]) for row in rows[len(motion) :]]
    start = motion.times[0]
    turned = motion.take(rows, [time - start for time in (*motion.times, *back)])
    return Loop(replace(turned, last=motion.lasts(0)), start, end, back=True)


def jump(motion: Motion) -> float:
    """How large the step from the last frame to the first is, in steps of the usual size."""
    usual = float(np.median(motion.steps())) if len(motion) > 1 else 0.0
    return float(motion.apart([len(motion) - 1], [0])[0]) / max(usual, 1e-9)


def smoothstep(share: np.ndarray) -> np.ndarray:
    """From 0 to 1 without a kink at either end."""
    t = np.clip(share, 0, 1)
    return t * t * (3 - 2 * t)


def _best(motion: Motion, channels: np.ndarray) -> tuple[int, int]:
    """(first frame, the frame after the last), the latter being the one that is most like the first."""
    count = len(motion)
    speed = np.gradient(channels, axis=0)
    steps = motion.steps()
    usual = np.median(steps)
    seconds = motion.seconds
    least = min(SHORTEST, float(seconds[-1] - seconds[0]) * 0.5)

    def look(firsts: np.ndarray, lasts: np.ndarray) -> tuple[int, int]:
        i, j = (each.ravel() for each in np.meshgrid(firsts, lasts, indexing="ij"))
        fits = seconds[j] - seconds[i] >= least
        i, j = i[fits], j[fits]

        def moves(rows: slice) -> np.ndarray:
            return np.sqrt(np.square(speed[i[rows]] - speed[j[rows]]).mean(axis=1)) / SIZE

        hurry = np.maximum(0, steps[j - 1] - usual)
        cost = motion.apart(i, j) + 0.25 * in_blocks(moves, len(i)) + hurry
        good = np.flatnonzero(cost <= cost.min() * 1.1 + 1e-6)
        best = good[np.argmax((seconds[j] - seconds[i])[good])]
        return int(i[best]), int(j[best])

    stride = math.ceil(count / LOOKED_AT)
    first, last = look(np.arange(0, count, stride), np.arange(0, count, stride))
    if stride > 1:
        near = np.arange(-stride, stride + 1)
        first, last = look(*(np.unique(np.clip(at + near, 0, count - 1)) for at in (first, last)))
    return first, last


def _enough(motion: Motion) -> None:
    if len(motion) < 4:
        raise FommError(f"A loop needs at least 4 frames, not {len(motion)}.", "Use a longer clip.")

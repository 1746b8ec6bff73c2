"""From one number a clip to one number a data set, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fomm_cli.data.pairs import generator

RESAMPLES = 2000


class Estimate(NamedTuple):
    """A number and how far to trust it.

    value  of the whole set; None where nothing could be measured
    low    and `high`: the 95 % bootstrap interval over videos; None with fewer than two of them
    """

    value: float | None
    low: float | None
    high: float | None


NOTHING = Estimate(None, None, None)


def _draws(videos: int, seed: int) -> np.ndarray:
    """(RESAMPLES, videos): how often each video is in each resample."""
    return generator(seed).multinomial(videos, np.full(videos, 1 / videos), size=RESAMPLES).astype(np.float64)


def ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Estimate:
    """The sum of one list over the sum of another, one item of each for a video.

    With sums and counts of frames it is the mean over frames; with counts of 1 the mean over videos; with the errors of
    two methods how much of the second's error the first has left. Videos, not frames, are resampled: the frames
    of one video are no independent witnesses.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if not len(top) or bottom.sum() == 0 or not np.isfinite([top.sum(), bottom.sum()]).all():
        return NOTHING
    value = float(top.sum() / bottom.sum())
    if len(top) < 2:
        return Estimate(value, None, None)
    draws = _draws(len(top), seed)
    below = draws @ bottom
    samples = (draws @ top)[below > 0] / below[below > 0]
    low, high = np.quantile(samples, (0.025, 0.975))
    return Estimate(value, float(low), float(high))


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean over videos."""
    return ratio(values, [1.0] * len(values), seed)

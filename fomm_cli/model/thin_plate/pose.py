"""The pose of this family, and whose motion goes where: numpy alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.pose import as_array, hull_scale, like, normal

SPLINE = 5
"""Points that a spline hangs on."""


class SplinePoints(NamedTuple):
    """Points without labels, five for each spline. An array or a tensor.

    value  (B, 5K, 2): spline k owns points 5k to 5k + 4
    """

    value: Any


def carry(source: SplinePoints, driving: SplinePoints, initial: SplinePoints) -> SplinePoints:
    """Relative motion: p = p_source + s (p_driving - p_initial), s = sqrt(hull area of source / of initial).

    source, initial  of batch 1 (or B); `initial` is the driving pose that stands for the source's
    driving          of batch B, an array or a tensor, which is what is returned
    """
    ours, theirs, first = (as_array(pose.value) for pose in (source, driving, initial))
    scale = hull_scale(ours, first)[:, None, None].astype(ours.dtype)
    return SplinePoints(like(ours + scale * (theirs - first), driving.value))


def distance(source: SplinePoints, driving: SplinePoints) -> NDArray[np.float64]:
    """How far each driving pose (batch B) is from the source's (batch 1), in sizes of the pose; (B,).

    Points are centred and divided by their root mean square radius: relative motion cares about neither.
    """
    points = normal(driving.value, centre=True) - normal(source.value, centre=True)
    return np.sqrt(np.square(points).sum(axis=-1).mean(axis=-1))

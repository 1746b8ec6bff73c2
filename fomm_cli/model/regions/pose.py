"""The pose of articulated regions and whose motion goes where: numpy alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.pose import as_array, hull_scale, inverse, like, normal
from fomm_cli.model.relative import PointSpace

EXTENT_WEIGHT = 0.1
"""What a squared difference of extents counts against a squared distance of places."""


class Regions(NamedTuple):
    """Parts of a picture: where each lies, how it is turned and stretched, how far it reaches. Arrays or tensors.

    value       (B, K, 2), points: the regions' centres
    jacobian    (B, K, 2, 2), row major: columns are the regions' axes; None without axes
    covariance  (B, K, 2, 2): the regions' extent, in squared units of points; None where the motion ignores it.
                Detected, it is jacobian @ its transpose; in relative motion it stays the driving's, and is not
    """

    value: Any
    jacobian: Any = None
    covariance: Any = None


def carry(source: Regions, driving: Regions, initial: Regions) -> Regions:
    """Relative motion: c = c_s + r (c_d - c_i), A = A_d A_i^-1 A_s; the extent stays the driving's, as published.

    source, initial  of batch 1 (or B); `initial` is the driving pose that stands for the source's
    driving          of batch B, arrays or tensors, which is what is returned

    r = sqrt(hull area of the source's places / of the initial ones), 1 where one of them is degenerate.
    """
    ours, theirs, first = (as_array(pose.value) for pose in (source, driving, initial))
    scale = hull_scale(ours, first)[:, None, None].astype(ours.dtype)
    moved = like(ours + scale * (theirs - first), driving.value)
    if driving.jacobian is None:
        return Regions(moved)
    ours, theirs, first = (as_array(pose.jacobian) for pose in (source, driving, initial))
    return Regions(moved, like(theirs @ inverse(first) @ ours, driving.jacobian), driving.covariance)


def distance(source: Regions, driving: Regions) -> NDArray[np.float64]:
    """How far each driving pose (batch B) is from the source's (batch 1), in sizes of the pose; (B,).

    Places are centred and divided by their root mean square radius. Axes have no heads: what is compared is the extent
    that they span, divided by its root mean square size.
    """
    places = normal(driving.value, centre=True) - normal(source.value, centre=True)
    total = np.square(places).sum(axis=-1).mean(axis=-1)
    if source.jacobian is not None and driving.jacobian is not None:
        extents = normal(_squared(driving.jacobian), centre=False) - normal(_squared(source.jacobian), centre=False)
        total = total + EXTENT_WEIGHT * np.square(extents).sum(axis=(-1, -2)).mean(axis=-1)
    return np.sqrt(total)


class RegionSpace(PointSpace):
    """Regions relative to an anchor's: places and axes as any points and frames; the extent follows from the axes."""

    def channels(self, poses: Regions) -> NDArray[np.float64]:
        if self._frames is None:
            return super().channels(poses)
        change = poses.jacobian @ inverse(self._frames)
        heads = np.where(change[..., :1, :1] < 0, -1.0, 1.0)  # axes have none: a flip is no movement
        return super().channels(poses._replace(jacobian=heads * poses.jacobian))

    def _pose(self, points: Any, frames: Any) -> Regions:
        return Regions(points, frames, None if self.anchor.covariance is None else _squared(frames))


def _squared(axes: Any) -> NDArray[Any]:
    axes = as_array(axes)
    return axes @ np.swapaxes(axes, -1, -2)

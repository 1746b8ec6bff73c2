"""The motion of regions as numbers: that of points with frames, whose axes have no heads. Numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.relative import Array, PointSpace


class RegionSpace(PointSpace):
    """Places, and the logarithm of the change of each region's axes; its extent is what the axes span.

    A detector may turn an axis by half a turn from one frame to the next: before they are compared, axes point where
    the anchor's do.
    """

    anchor: Regions

    def _channels(self, poses: Any) -> Array:
        if self._frames is None or poses.jacobian is None:
            return super()._channels(poses)
        axes = np.asarray(poses.jacobian, dtype=np.float64)
        along = (axes * self._frames).sum(axis=-2, keepdims=True)
        return super()._channels(poses._replace(jacobian=np.where(along < 0, -axes, axes)))

    def _pose(self, points: Any, frames: Any) -> Regions:
        spans = frames is not None and self.anchor.covariance is not None
        return Regions(points, frames, frames @ np.swapaxes(frames, -1, -2) if spans else None)

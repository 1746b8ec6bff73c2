"""The pose of first-order motion, and whose motion goes where."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.pose import as_array, hull_scale, inverse, like, normal

JACOBIAN_WEIGHT = 0.1
"""What a squared Jacobian difference counts against a squared distance of points."""


class Keypoints(NamedTuple):
    """Learned points without labels, and the local affine frame around each; arrays or tensors.

    value     (B, K, 2), points
    jacobian  (B, K, 2, 2), row major: columns are where the reference pose's axes go; None in the zero-order model
    """

    value: Any
    jacobian: Any = None

    def __repr__(self) -> str:
        return f"Keypoints(value {tuple(self.value.shape)}, jacobian {self.jacobian is not None})"


def carry(source: Keypoints, driving: Keypoints, initial: Keypoints, adapt_scale: bool) -> Keypoints:
    """Relative motion: p = p_source + s (p_driving - p_initial), J = J_driving J_initial^-1 J_source.

    source, initial  of batch 1 (or B); `initial` is the driving pose that stands for the source's
    driving          of batch B, arrays or tensors, which is what is returned
    adapt_scale      s = sqrt(hull area of the source's points / that of the initial ones), else 1; also 1 where one of
                     the hulls is degenerate, so that points on a line move by what they are told
    """
    p_source, p_driving, p_initial = (as_array(pose.value) for pose in (source, driving, initial))
    scale = hull_scale(p_source, p_initial) if adapt_scale else np.ones(1)
    value = p_source + scale[:, None, None].astype(p_source.dtype) * (p_driving - p_initial)
    jacobian = None
    if driving.jacobian is not None:
        j_source, j_driving, j_initial = (as_array(pose.jacobian) for pose in (source, driving, initial))
        jacobian = like(j_driving @ inverse(j_initial) @ j_source, driving.jacobian)
    return Keypoints(like(value, driving.value), jacobian)


def distance(source: Keypoints, driving: Keypoints) -> NDArray[np.float64]:
    """How far each driving pose (batch B) is from the source's (batch 1), in sizes of the pose; (B,).

    Place and size are removed first, since relative motion does not care about them: points are centred and divided by
    their root mean square radius, Jacobians by their root mean square size. The turn and the expression are left.
    """
    points = normal(driving.value, centre=True) - normal(source.value, centre=True)
    total = np.square(points).sum(axis=-1).mean(axis=-1)
    if source.jacobian is not None and driving.jacobian is not None:
        frames = normal(driving.jacobian, centre=False) - normal(source.jacobian, centre=False)
        total = total + JACOBIAN_WEIGHT * np.square(frames).sum(axis=(-1, -2)).mean(axis=-1)
    return np.sqrt(total)

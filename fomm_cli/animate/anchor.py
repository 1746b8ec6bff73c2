"""The driving frame that stands for the source's pose, found by the model's own keypoints: no face library needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.pose import normal
from fomm_cli.model.types import Keypoints

JACOBIAN_WEIGHT = 0.1
"""What a squared Jacobian difference counts against a squared distance of points."""

CLOSE = 0.3
"""Up to here poses are alike."""

FAR = 0.5
"""A distance from here on is a pose so different that the result will suffer."""


@dataclass(frozen=True)
class Anchor:
    """A driving frame that stands for the source's pose.

    index     number of the driving frame, from 0
    distance  between its pose and the source's, in sizes of the pose; below 0.3 is close
    pose      its keypoints, a batch of one
    """

    index: int
    distance: float
    pose: Keypoints


def find_anchor(source: Keypoints, driving: Keypoints) -> Anchor:
    """The frame nearest in pose; of nearly equal ones (within 2 %) the earliest."""
    found = pose_distance(source, driving)
    index = int(np.argmax(found <= found.min() * 1.02 + 1e-4))
    return anchor_at(source, driving, index, index)


def anchor_at(source: Keypoints, driving: Keypoints, row: int, index: int) -> Anchor:
    """Row `row` of a batch as the anchor, which is frame `index` of its clip."""
    pose = driving.apply(lambda array: array[row : row + 1])
    return Anchor(index, float(pose_distance(source, pose)[0]), pose)


def pose_distance(source: Keypoints, driving: Keypoints) -> NDArray[np.float64]:
    """How far each driving pose (batch B) is from the source's (batch 1); (B,).

    Place and size are removed first, since relative motion does not care about them: points are centred and divided by
    their root mean square radius, Jacobians by their root mean square size. The turn and the expression are left.
    """
    points = normal(driving[0], centre=True) - normal(source[0], centre=True)
    total = np.square(points).sum(axis=-1).mean(axis=-1)
    if source[1] is not None and driving[1] is not None:
        frames = normal(driving[1], centre=False) - normal(source[1], centre=False)
        total = total + JACOBIAN_WEIGHT * np.square(frames).sum(axis=(-1, -2)).mean(axis=-1)
    return np.sqrt(total)

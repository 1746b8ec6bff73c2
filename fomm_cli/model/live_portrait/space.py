"""The motion of a head as numbers: its size, turn and place, and its expression. Numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.model.live_portrait.pose import HeadPose, keypoints
from fomm_cli.model.pose import mapped
from fomm_cli.model.relative import Reach, Split

Array = NDArray[np.float64]

HEAD = 7
"""Channels of the head: log of the growth, turn as a rotation vector (3), shift (3); then the expression's, and where
the poses tell it how much wider eyes and lips are open (3)."""


class HeadSpace:
    """Heads relative to an anchor: log(s / s_a), log(R R_a^T), t - t_a and exp - exp_a, as relative animation has it.

    The shape (canonical keypoints) is the anchor's in every frame: what a detector sees change in it is no motion.
    """

    parts: Mapping[str, slice] = {"size": slice(0, 1), "turn": slice(1, 4), "place": slice(4, 7)}

    def __init__(self, anchor: HeadPose) -> None:
        self.anchor = anchor
        self._wide = mapped(anchor, lambda part: np.asarray(part, dtype=np.float64))
        self._bends = HEAD + 3 * anchor.kp.shape[1]

    @property
    def neutral(self) -> HeadPose:
        zero = mapped(self.anchor, np.zeros_like)
        still = np.eye(3, dtype=zero.rotation.dtype)[None]
        return zero._replace(rotation=still, scale=np.ones_like(zero.scale), openness=None)

    def channels(self, poses: Any) -> Array:
        growth = np.log(np.maximum(np.asarray(poses.scale, dtype=np.float64), 1e-6) / self._wide.scale)
        turn = rotation_vector(np.asarray(poses.rotation, dtype=np.float64) @ np.swapaxes(self._wide.rotation, 1, 2))
        bend = np.asarray(poses.exp, dtype=np.float64) - self._wide.exp
        columns = [growth, turn, poses.t - self._wide.t, bend.reshape(len(bend), -1)]
        if poses.openness is not None and self._wide.openness is not None:
            columns.append((poses.openness - self._wide.openness).reshape(len(bend), 3))
        return np.concatenate(columns, axis=1)

    def poses(self, channels: Array) -> HeadPose:
        count = len(channels)
        kp = np.broadcast_to(self._wide.kp, (count, *self._wide.kp.shape[1:]))
        rotation = rotation_of(channels[:, 1:4]) @ self._wide.rotation
        exp = self._wide.exp + channels[:, HEAD : self._bends].reshape(count, -1, 3)
        t, scale = self._wide.t + channels[:, 4:7], self._wide.scale * np.exp(channels[:, :1])
        openness = None
        if channels.shape[1] > self._bends and self._wide.openness is not None:
            openness = np.maximum(self._wide.openness + channels[:, self._bends :], 0)
        made = HeadPose(keypoints(kp, rotation, exp, t, scale), kp, rotation, exp, t, scale, openness)
        return mapped(made, lambda part: part.astype(self.anchor.value.dtype))

    def split(self, channels: Array) -> Split:
        head, rest = channels[:, :HEAD].copy(), channels.copy()
        rest[:, :HEAD] = 0
        alone = channels.copy()
        alone[:, HEAD:] = 0
        moved = np.asarray(self.poses(channels).value, dtype=np.float64)
        total = np.square(moved - self.anchor.value).sum()
        left = np.square(moved - self.poses(alone).value).sum()
        return Split(head, rest, max(0.0, 1 - float(left / total)) if total > 1e-12 else 1.0)

    def join(self, head: Array, rest: Array) -> Array:
        return np.concatenate([head, rest[:, HEAD:]], axis=1)

    def limited(self, channels: Array, reach: Reach) -> Array:
        return channels  # the networks that follow were trained on movements of any size, and stitching bounds them

    def reach(self, channels: Array) -> Reach:
        raise FommError("Motion of LivePortrait is not limited: stitching bounds it.", "Other families have a reach.")

    def mirrored(self, channels: Array, partner: list[int]) -> Array:
        head = channels[:, :HEAD] * (1, 1, -1, -1, -1, 1, 1)  # F R F turns about the mirrored axis, the other way round
        bend = channels[:, HEAD : self._bends].reshape(len(channels), -1, 3)[:, partner] * (-1, 1, 1)
        open_ = channels[:, self._bends :][:, [1, 0, 2][: channels.shape[1] - self._bends]]  # left eye for right
        return np.concatenate([head, bend.reshape(len(channels), -1), open_], axis=1)


def rotation_vector(rotation: Array) -> Array:
    """The axis of (B, 3, 3) times the angle, in radians: (B, 3)."""
    axis = np.stack([rotation[:, i, j] - rotation[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], axis=1) / 2
    sine = np.sqrt(np.square(axis).sum(axis=1, keepdims=True))
    angle = np.arctan2(sine, (np.trace(rotation, axis1=1, axis2=2)[:, None] - 1) / 2)
    return axis * np.where(sine < 1e-7, 1.0, angle / np.maximum(sine, 1e-7))


def rotation_of(vector: Array) -> Array:
    """The rotations (B, 3, 3) of rotation vectors (B, 3), by Rodrigues' formula."""
    angle = np.sqrt(np.square(vector).sum(axis=1))[:, None, None]
    x, y, z = vector.T
    zero = np.zeros_like(x)
    cross = np.stack([np.stack(row, axis=-1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))], axis=-2)
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    sine = np.where(small, 1.0, np.sin(safe) / safe)
    cosine = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + sine * cross + cosine * (cross @ cross)

"""A runner of the three seams without a network, and a network small enough for any test."""

from __future__ import annotations

from typing import Any

import numpy as np

from fomm_cli.model.family import Usual
from fomm_cli.model.first_order.family import FirstOrder
from fomm_cli.model.first_order.pose import Keypoints


def pose(value: Any, jacobian: Any = None) -> Keypoints:
    """Keypoints of arrays."""
    points: Any = np.asarray(value, dtype=np.float32)
    frames: Any = None if jacobian is None else np.asarray(jacobian, dtype=np.float32)
    return Keypoints(points, frames)


class GreyEngine:
    """Sees the mean grey of a frame as the place of four points, and renders the source that much brighter.

    fits  frames that "memory" holds at a time
    """

    def __init__(self, size: tuple[int, int] = (32, 32), batch: int = 4, fits: int = 1000) -> None:
        self.family = FirstOrder()
        self.size, self.output_size, self.batch, self.fits = size, size, batch, fits
        self.motion_size, self.usual, self.disentangles = None, Usual(framing=None), False
        self.name, self.detector = "grey", "sha256:grey"
        self.calls: list[tuple[str, int]] = []

    def _room(self, what: str, count: int) -> None:
        if count > self.fits:
            raise MemoryError(what)
        self.calls.append((what, count))

    def detect(self, frames: np.ndarray) -> Keypoints:
        assert frames.dtype == np.uint8
        assert frames.shape[1:] == (*self.size, 3)
        self._room("detect", len(frames))
        grey = frames.reshape(len(frames), -1).mean(axis=1) / 255
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        frame = np.broadcast_to(np.eye(2), (len(frames), 4, 2, 2))
        return pose(corners[None] + grey[:, None, None], frame * (1 + grey[:, None, None, None]))

    def encode(self, frame: np.ndarray) -> np.ndarray:
        self._room("encode", 1)
        return frame

    def render(self, encoded: np.ndarray, source: Keypoints, driving: Keypoints) -> np.ndarray:
        value = np.asarray(driving.value)
        self._room("render", len(value))
        shift = np.rint((value - np.asarray(source.value)).mean(axis=(1, 2)) * 255)
        return np.clip(encoded[None] + shift[:, None, None, None], 0, 255).astype(np.uint8)

    def disentangle(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        raise AssertionError("first order has no mode avd")

    def settle(self, source: Keypoints, driving: Keypoints, finish: Any = None) -> Keypoints:
        return driving


def tiny_config(*more: str) -> Any:
    """toon-64 at 32 px, as narrow as it goes; it knows no faces, and so nobody looks for any."""
    from fomm_cli.config.reading import load

    narrow = ["model.num_kp=4", "data.frame_shape=[32,32]", "animate.framing=null"]
    for part in ("detector", "dense_motion", "generator", "discriminator"):
        narrow += [f"model.{part}.block_expansion=4", f"model.{part}.max_features=8"]
    for part in ("detector", "dense_motion"):
        narrow += [f"model.{part}.num_blocks=2"]
    return load("toon-64", [*narrow, "model.generator.num_bottleneck_blocks=1", *more])


def tiny_model(seed: int = 0) -> Any:
    """A FirstOrderModel of random weights, 32 px, in eval mode."""
    import torch

    from fomm_cli.model.first_order.network import FirstOrderModel

    torch.manual_seed(seed)
    config = tiny_config()
    model = FirstOrderModel(config.model, tuple(config.data.frame_shape)).eval().requires_grad_(False)
    model.usual = config.animate.usual
    return model

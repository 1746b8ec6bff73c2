"""The plain model behind the engine protocol: the readable truth the quicker engines are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from fomm_cli.device import describe
from fomm_cli.engine.base import Frames
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.model.types import Encoded, Keypoints
from fomm_cli.weights.identity import of_model


class PlainEngine:
    """A FirstOrderModel in float32, where its parameters are; uint8 crosses the device border, both ways."""

    def __init__(self, model: FirstOrderModel) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.size = model.size
        self.detector = of_model(model)
        self.batch = batch_size(self.device, model.size)
        self.name = f"plain fp32 on {describe(self.device)}"

    def detect(self, frames: Frames) -> Keypoints:
        with running():
            return to_arrays(self.model.detect(to_tensor(frames, self.device)))

    def encode(self, frame: NDArray[np.uint8]) -> Encoded:
        with running():
            return self.model.encode(to_tensor(frame[None], self.device))

    def render(self, encoded: Encoded, source: Keypoints, driving: Keypoints) -> Frames:
        with running():
            kp_source, kp_driving = to_tensors(source, self.device), to_tensors(driving, self.device)
            return to_frames(self.model.render(encoded, kp_source, kp_driving, deformed=False).prediction)


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Without gradients, and with every way torch says "out of memory" turned into MemoryError."""
    try:
        with torch.inference_mode():
            yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        said = str(error).lower()
        if "out of memory" in said or "can't allocate memory" in said or "not enough memory" in said:
            raise MemoryError(str(error)) from error
        raise


def batch_size(device: torch.device, size: tuple[int, int]) -> int:
    """Frames at a time: on a CPU as many as its caches bear, on a GPU as many as half of its free memory holds.

    A frame of the published 256 px networks takes about 150 MiB of activations in float32; others grow with the area.
    """
    if device.type != "cuda":
        return 4
    free, _ = torch.cuda.mem_get_info(device)
    frame = 150 * 2**20 * max(1.0, size[0] * size[1] / 256**2)
    return max(1, min(32, int(free / 2 / frame)))


def to_arrays(keypoints: Keypoints) -> Keypoints:
    """Tensors to float32 arrays."""
    return keypoints.apply(lambda tensor: tensor.float().cpu().numpy())


def to_tensors(keypoints: Keypoints, device: torch.device) -> Keypoints:
    """Arrays to float32 tensors on `device`."""
    return keypoints.apply(lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device))

"""The plain model behind the engine protocol: the readable truth the quicker engines are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fomm_cli.device import describe
from fomm_cli.engine.base import Frames, Parts
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.model.pose import mapped
from fomm_cli.weights.identity import of_model


class PlainEngine:
    """Any model as it is written, where its parameters are; uint8 crosses the device border, both ways.

    precision  bf16 runs encode and render under autocast; poses and whatever a family keeps apart stay float32
    """

    weights = ""

    def __init__(self, model: AnimationModel, precision: str = "fp32") -> None:
        self.model = model
        self.bf16 = precision == "bf16"
        self.device = next(model.parameters()).device
        self.family, self.usual = model.family, model.usual
        self.disentangles = model.disentangles
        self.size, self.output_size, self.motion_size = model.size, model.output_size, model.motion_size
        self.detector = of_model(model)
        self.batch = batch_size(self.device, model.size)
        self.name = f"plain {precision} on {describe(self.device)}"

    def detect(self, frames: Frames) -> Any:
        with running():
            return to_arrays(self.model.detect(to_tensor(frames, self.device)))

    def encode(self, frame: NDArray[np.uint8]) -> Any:
        with running(), self._autocast():
            return self.model.encode(to_tensor(frame[None], self.device))

    def render(self, encoded: Any, source: Any, driving: Any) -> Frames:
        with running():
            poses = to_tensors(source, self.device), to_tensors(driving, self.device)
            with self._autocast():
                rendered = self.model.render(encoded, *poses, deformed=False)
            return to_frames(rendered.prediction)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def parts(self, encoded: Any, source: Any, driving: Any, taper: NDArray[np.float32] | None = None) -> Parts:
        with running():
            poses = to_tensors(source, self.device), to_tensors(driving, self.device)
            return to_parts(self._parts(encoded, *poses, to_taper(taper, self.device)))

    def _parts(self, encoded: Any, source: Any, driving: Any, taper: torch.Tensor | None) -> Any:
        return self.model.render(encoded, source, driving, deformed=False, taper=taper)

    def disentangle(self, source: Any, driving: Any) -> Any:
        with running():
            return to_arrays(self.model.disentangle(to_tensors(source, self.device), to_tensors(driving, self.device)))

    def settle(self, source: Any, driving: Any, finish: Any = None) -> Any:
        with running():
            poses = to_tensors(source, self.device), to_tensors(driving, self.device)
            return to_arrays(self.model.settle(*poses, finish))


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


def to_arrays(pose: Any) -> Any:
    """Tensors to float32 arrays."""
    return mapped(pose, lambda tensor: tensor.float().cpu().numpy())


def to_tensors(pose: Any, device: torch.device) -> Any:
    """Arrays to float32 tensors on `device`."""
    return mapped(pose, lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device))


def to_parts(rendering: Any) -> Parts:
    """A rendering of a network as an engine hands it out."""
    decoded, occlusion = rendering.decoded, rendering.occlusion
    return Parts(
        to_frames(rendering.prediction),
        None if decoded is None else to_frames(decoded),
        rendering.flow.float().cpu().numpy(),
        None if occlusion is None else occlusion[:, 0].float().cpu().numpy(),
    )


def to_taper(taper: NDArray[np.float32] | None, device: torch.device) -> torch.Tensor | None:
    """A taper on `device`."""
    return None if taper is None else torch.from_numpy(np.ascontiguousarray(taper)).to(device)

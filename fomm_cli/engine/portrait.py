"""The quick LivePortrait behind the engine protocol."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fomm_cli.device import describe
from fomm_cli.engine.base import Frames
from fomm_cli.engine.fused import DTYPES, check
from fomm_cli.engine.fused_portrait import FusedPortrait, PortraitSource
from fomm_cli.engine.plain import PlainEngine, running, to_arrays, to_tensors
from fomm_cli.errors import FommError
from fomm_cli.model.live_portrait.network import LivePortraitModel
from fomm_cli.model.live_portrait.pose import HeadPose
from fomm_cli.model.pixels import to_frames, to_tensor


class PortraitEngine(PlainEngine):
    """A LivePortraitModel rebuilt for speed, where its parameters are; see `FusedPortrait`.

    precision  fp32, bf16 or fp16: of all but the pose and coordinates
    """

    model: LivePortraitModel

    def __init__(self, model: LivePortraitModel, precision: str = "fp32", graphs: bool = False) -> None:
        super().__init__(model)
        check(self.device, precision, graphs)
        if graphs:
            raise FommError("There are no CUDA graphs for LivePortrait.", "Leave out --cuda-graphs.")
        self.network = FusedPortrait(model, DTYPES[precision])
        self.name = f"fused {precision} on {describe(self.device)}"

    def detect(self, frames: Frames) -> HeadPose:
        with running():
            return to_arrays(self.network.detect(to_tensor(frames, self.device)))

    def encode(self, frame: NDArray[Any]) -> PortraitSource:
        with running():
            return self.network.encode(to_tensor(frame[None], self.device))

    def render(self, encoded: PortraitSource, source: HeadPose, driving: HeadPose) -> Frames:
        with running():
            poses = to_tensors(source, self.device), to_tensors(driving, self.device)
            return to_frames(self.network.render(encoded, *poses))

"""The fused network behind the engine protocol: what `--engine auto` runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from fomm_cli.device import describe
from fomm_cli.engine.base import Frames
from fomm_cli.engine.fused_network import FusedNetwork, FusedRendering, FusedSource
from fomm_cli.engine.plain import PlainEngine, running, to_arrays, to_tensors
from fomm_cli.errors import FommError
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.pixels import to_frames, to_tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class FusedEngine(PlainEngine):
    """A FirstOrderModel rebuilt for speed, where its parameters are; uint8 crosses the device border, both ways.

    precision  fp32, bf16 or fp16: of everything but the keypoints and other coordinates, which stay float32
    graphs     record the kernels of a batch once and replay them: on CUDA, for batches of a steady size
    Raises FommError where this device cannot do what is asked for.
    """

    model: FirstOrderModel

    def __init__(self, model: FirstOrderModel, precision: str = "fp32", graphs: bool = False) -> None:
        super().__init__(model)
        check(self.device, precision, graphs)
        self.network = FusedNetwork(model, precision=DTYPES[precision])
        self.name = f"fused {precision} on {describe(self.device)}"
        self._graphs: Graphs | None = Graphs() if graphs else None

    def detect(self, frames: Frames) -> Keypoints:
        with running():
            return to_arrays(self.network.detect(to_tensor(frames, self.device)))

    def encode(self, frame: NDArray[Any]) -> FusedSource:
        with running():
            return self.network.encode(to_tensor(frame[None], self.device))

    def render(self, encoded: FusedSource, source: Keypoints, driving: Keypoints) -> Frames:
        with running():
            poses = to_tensors(source, self.device), to_tensors(driving, self.device)
            if self._graphs is None:
                return to_frames(self.network.render(encoded, *poses).prediction)
            inputs = [*encoded, *poses[0], *poses[1]]
            return to_frames(self._graphs.run(self._render, [tensor for tensor in inputs if tensor is not None]))

    def _parts(self, encoded: Any, source: Any, driving: Any, taper: Tensor | None) -> FusedRendering:
        return self.network.render(encoded, source, driving, taper)

    def _render(self, *inputs: Tensor) -> Tensor:
        source, poses = FusedSource(*inputs[:3]), inputs[3:]
        half = len(poses) // 2
        return self.network.render(source, Keypoints(*poses[:half]), Keypoints(*poses[half:])).prediction


class Graphs:
    """CUDA graphs of one function, one for each set of input shapes met; a new one costs a few runs and its memory."""

    def __init__(self) -> None:
        self._recorded: dict[tuple[torch.Size, ...], tuple[Any, list[Tensor], Tensor]] = {}

    def run(self, function: Callable[..., Tensor], inputs: list[Tensor]) -> Tensor:
        """`function(*inputs)`; the result is overwritten by the next run with the same shapes."""
        shapes = tuple(each.shape for each in inputs)
        if shapes not in self._recorded:
            self._recorded[shapes] = self._record(function, inputs)
        graph, fixed, output = self._recorded[shapes]
        for held, value in zip(fixed, inputs, strict=True):
            held.copy_(value)
        graph.replay()
        return output

    def _record(self, function: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Any, list[Tensor], Tensor]:
        fixed = [each.clone() for each in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries choose their kernels and allocate in the first runs, unrecorded
            for _ in range(3):
                function(*fixed)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = function(*fixed)
        return graph, fixed, output


def check(device: torch.device, precision: str, graphs: bool) -> None:
    if graphs and device.type != "cuda":
        raise FommError(f"CUDA graphs need a CUDA device, not {device.type}.", "Leave out --cuda-graphs.")
    if precision not in DTYPES:
        raise FommError(f"There is no precision {precision!r}.", f"Known: auto, {', '.join(DTYPES)}.")
    if precision == "fp16" and device.type == "cpu":
        raise FommError(
            "Convolutions in fp16 on a CPU are slower than in fp32, or missing.", "Use --precision bf16 or fp32."
        )

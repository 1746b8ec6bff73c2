"""An exported model behind the engine protocol: onnxruntime and numpy, never torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.engine.base import Frames, Parts
from fomm_cli.engine.card import FORMAT, Graph, Port, lengths, read_card
from fomm_cli.errors import FommError
from fomm_cli.files.disk import sha256
from fomm_cli.model.families import family_of
from fomm_cli.model.pixels import from_planes, to_planes

__all__ = ["FORMAT", "OnnxEngine", "read_card"]


class OnnxEngine:
    """The three graphs of a folder that `fomm export --format onnx` wrote.

    device   auto or cuda: CUDA where this onnxruntime has it (auto falls back to the CPU); cpu
    threads  of one operator, 0 = as many as cores
    Raises FommError: no such export, a file that is missing or was changed, no onnxruntime.
    """

    def __init__(self, folder: str | Path, device: str = "auto", threads: int = 0) -> None:
        self.folder = Path(folder)
        card = self.card = read_card(self.folder)
        if card.format != "onnx":
            raise FommError(
                f"{folder} holds a {card.format} export, which onnxruntime cannot run.",
                "Export with --format onnx to animate from a folder.",
            )
        ort = _onnxruntime()
        providers = _providers(ort, device)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.size, self.detector = card.size, card.detector
        self.output_size = card.output_size or card.size
        self.family = family_of(card.config["model"])
        self.usual = card.usual
        self.disentangles = "disentangle" in card.graphs
        self.motion_size = card.motion_size
        self.weights = f"sha256:{sha256(self.folder / 'export.json')}"
        self.batch = 4
        self.name = f"onnx {card.precision} on {'cuda' if 'CUDA' in providers[0] else 'cpu'} (onnxruntime)"
        self._sessions = {
            name: _session(ort, self.folder / graph.file, graph, options, providers)
            for name, graph in card.graphs.items()
        }

    def detect(self, frames: Frames) -> Any:
        return self.family.Pose(**self._run("detect", {"image": to_planes(frames)}))

    def encode(self, frame: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        source = to_planes(frame[None])
        return {"source": source} | self._run("encode", {"source": source})

    def render(self, encoded: dict[str, Any], source: Any, driving: Any) -> Frames:
        return from_planes(self._rendered(encoded, source, driving, None)["prediction"])

    def parts(
        self, encoded: dict[str, Any], source: Any, driving: Any, taper: NDArray[np.float32] | None = None
    ) -> Parts:
        made = self._rendered(encoded, source, driving, taper)
        decoded, occlusion = made.get("decoded"), made.get("occlusion")
        return Parts(
            from_planes(made["prediction"]),
            None if decoded is None else from_planes(decoded),
            made["flow"],
            None if occlusion is None else occlusion[:, 0],
        )

    def _rendered(self, encoded: dict[str, Any], source: Any, driving: Any, taper: Any) -> dict[str, Any]:
        if self.motion_size is not None:
            encoded = encoded | {"taper": np.ones(self.motion_size, np.float32) if taper is None else taper}
        return self._run("render", encoded | _pair(source, driving))

    def disentangle(self, source: Any, driving: Any) -> Any:
        return self.family.Pose(**self._run("disentangle", _pair(source, driving)))

    def settle(self, source: Any, driving: Any, finish: Any = None) -> Any:
        if finish is not None:
            raise FommError(
                "An export settles poses in the usual way alone.", "For this option animate with the weights file."
            )
        if "settle" not in self._sessions:
            return driving
        return driving._replace(**self._run("settle", _pair(source, driving)))

    def _run(self, graph: str, feed: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
        """The outputs of a graph by name; of the feed it takes what it has inputs for."""
        card = self.card.graphs[graph]
        with _memory():
            made = self._sessions[graph].run(None, {port.name: feed[port.name] for port in card.inputs})
        return {port.name: array for port, array in zip(card.outputs, made, strict=True)}


def _pair(source: Any, driving: Any) -> dict[str, NDArray[np.float32]]:
    """Two poses as a graph takes them: `value_source`, `value_driving`, ..."""
    return {
        f"{name}_{which}": np.ascontiguousarray(array, dtype=np.float32)
        for which, pose in (("source", source), ("driving", driving))
        for name, array in pose._asdict().items()
        if array is not None
    }


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise FommError("Running an export needs onnxruntime.", 'pip install "fomm-cli[onnx]"') from error
    return onnxruntime


def _providers(ort: Any, device: str) -> list[str]:
    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if device.startswith("cuda") and not has_cuda:
        raise FommError("This onnxruntime has no CUDA.", "pip install onnxruntime-gpu, or use --device cpu.")
    if has_cuda and device.startswith(("auto", "cuda")):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _session(ort: Any, path: Path, card: Graph, options: Any, providers: list[str]) -> Any:
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime has a type of its own for every way a file can be wrong
        raise FommError(f"onnxruntime cannot load {path}: {' '.join(str(error).split())[:200]}") from error
    for told, found in ((card.inputs, session.get_inputs()), (card.outputs, session.get_outputs())):
        if [port.name for port in told] != [port.name for port in found] or not all(map(_agree, told, found)):
            raise FommError(f"{path} is not the graph that export.json describes.", "Export again.")
    return session


def _agree(told: Port, found: Any) -> bool:
    """Whether two shapes may be one. onnxruntime loses the lengths of some outputs: what is free agrees with all."""
    pairs = zip(told.lengths, lengths(found.shape), strict=False)
    return len(told.shape) == len(found.shape) and all(a is None or b is None or a == b for a, b in pairs)


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    """Turn what onnxruntime says of a batch that does not fit into MemoryError."""
    try:
        yield
    except Exception as error:
        said = str(error).lower()
        if "failed to allocate" in said or "bad allocation" in said or "out of memory" in said:
            raise MemoryError(str(error)) from error
        raise

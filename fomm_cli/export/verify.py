"""Does an export compute what the model computes? On random and on real frames, seam by seam and end to end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.export.views import Graph, Run
from fomm_cli.model.pixels import psnr, to_planes

TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.5}
"""The largest error allowed, of full scale."""
MIN_PSNR = {"fp32": 60.0, "fp16": 50.0, "int8": 30.0}
"""And the least PSNR of a prediction, in dB."""


class Agreement(NamedTuple):
    """How an export agrees with the model.

    errors  output name (`detect.value`, ...) -> largest error over full scale: 1 for pictures, 2 for keypoints, else
            the largest absolute value
    psnr    of predictions, all three graphs run one after the other, in dB; the least over random and real frames
    frames  driving frames compared, over all inputs
    """

    errors: dict[str, float]
    psnr: float
    frames: int


def verify(
    graphs: list[Graph], runs: dict[str, Run], clips: list[NDArray[np.uint8]], precision: str = "fp32"
) -> Agreement:
    """Compare; FommError where an error exceeds the tolerance.

    graphs  the views of the model, the truth
    runs    graph name -> the exported graph, on arrays
    clips   sequences of frames (N, H, W, 3); the first frame of each is its source
    """
    errors: dict[str, float] = {}
    least, frames = np.inf, 0
    views = {graph.name: graph for graph in graphs}
    for clip in clips:
        image = to_planes(clip)
        source = image[:1]
        for batch in (image, image[:1]):  # batches of several and of one take different paths in some runtimes
            true = _chain(views, {name: _torch(graph) for name, graph in views.items()}, batch, source)
            for name, graph in views.items():
                made = runs[name](true[name][0])
                for output, one, other in zip(graph.outputs, made, true[name][1], strict=True):
                    key = f"{name}.{output}"
                    errors[key] = max(errors.get(key, 0.0), _error(output, one, other))
            chained = _chain(views, runs, batch, source)["render"][1][0]
            truth = true["render"][1][0]
            if chained.shape != truth.shape:
                raise FommError(f"The export renders {chained.shape}, the model {truth.shape}.")
            least = min(least, _psnr(chained, truth))
            frames += len(batch)
    result = Agreement({key: float(value) for key, value in errors.items()}, float(least), frames)
    worst = max(errors, key=lambda key: errors[key])
    if not errors[worst] <= TOLERANCE[precision]:
        raise FommError(
            f"The export disagrees with the model: {worst} differs by {errors[worst]:.2g} of full scale, more than "
            f"{TOLERANCE[precision]:g}.",
            "Please report it, with the weights' config.",
        )
    if not least >= MIN_PSNR[precision]:
        raise FommError(
            f"The export's pictures differ from the model's: PSNR {least:.1f} dB, less than {MIN_PSNR[precision]:g}.",
            "Export with --precision fp32.",
        )
    return result


def _torch(graph: Graph) -> Run:
    def run(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            made = graph.module(*[torch.from_numpy(np.ascontiguousarray(each)) for each in arrays])
        return [each.numpy() for each in (made if isinstance(made, tuple) else (made,))]

    return run


def _chain(
    views: dict[str, Graph], runs: dict[str, Run], batch: NDArray[Any], source: NDArray[Any]
) -> dict[str, tuple[list[NDArray[Any]], list[NDArray[Any]]]]:
    """Inputs and outputs of each graph when source and driving frames go through all of them."""
    driving = runs["detect"]([batch])
    still = runs["detect"]([source])
    encoded = runs["encode"]([source])
    known = dict(zip(views["encode"].outputs, encoded, strict=True)) | {"source": source}
    for name, one, other in zip(views["detect"].outputs, still, driving, strict=True):
        known[f"{name}_source"], known[f"{name}_driving"] = one, other
    passed = {"detect": ([batch], driving), "encode": ([source], encoded)}
    for name in (name for name in views if name not in (*passed, "render")):
        feed = [known[port] for port in views[name].inputs]
        passed[name] = feed, runs[name](feed)
        if name == "settle":  # what is rendered is what it says
            known |= {f"{port}_driving": made for port, made in zip(views[name].outputs, passed[name][1], strict=True)}
    render = views["render"]
    known |= {name: each.numpy() for name, each in zip(render.inputs, render.example, strict=True) if name == "taper"}
    feed = [known[name] for name in render.inputs]
    return passed | {"render": (feed, runs["render"](feed))}


def _error(output: str, made: NDArray[Any], true: NDArray[Any]) -> float:
    if made.shape != true.shape:
        return np.inf
    scale = {"prediction": 1.0, "decoded": 1.0, "small": 1.0, "value": 2.0, "flow": 2.0}.get(output) or max(
        float(np.abs(true).max()), 1e-6
    )
    return float(np.abs(made.astype(np.float64) - true).max() / scale)


def _psnr(made: NDArray[Any], true: NDArray[Any]) -> float:
    square = float(np.mean((made.astype(np.float64) - true) ** 2))
    return min(150.0, psnr(square))

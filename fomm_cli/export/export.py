"""An export: a folder of three graphs and `export.json`, which says everything a runtime needs to know about them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fomm_cli.config.schema import Config
from fomm_cli.engine.onnx import FORMAT
from fomm_cli.errors import FommError
from fomm_cli.export.formats import FORMATS
from fomm_cli.export.onnx_file import OPSET, calibration, quantize
from fomm_cli.export.verify import Agreement, verify
from fomm_cli.export.views import Graph, graphs
from fomm_cli.files.disk import sha256
from fomm_cli.files.folder import atomic_folder
from fomm_cli.model.network import AnimationModel
from fomm_cli.version import __version__
from fomm_cli.weights.identity import of_model

CONVENTIONS = {
    "images": "RGB, float32 in [0, 1], planes (batch, 3, height, width); 8-bit values divided by 255",
    "points": "xy in [-1, 1], x right, y down; -1 and 1 are the centres of the corner pixels",
    "jacobian": "2x2 row major, the local affine frame at a keypoint",
    "order": "detect source and driving frames, encode the source once, render each driving pose",
    "relative motion": "value = source + s (driving - initial), jacobian = driving inverse(initial) source; outside "
    "the graphs, since the scale s is a ratio of hulls",
    "batch": "axes named batch may have any length; the source's inputs of render have batch 1",
}
_MEANING = {
    "image": "frames",
    "source": "the source picture",
    "value": "keypoints",
    "jacobian": "their local affine frames",
    "covariance": "their extent, in squared units of points",
    "small": "the source, anti-aliased down to the motion maps",
    "features": "the generator's features of the source",
    "prediction": "the source in the driving pose",
    "taper": "how freely each place of the flow moves: ones leave all as it is, zeros keep the source",
    "flow": "for each place the point of the source to look at",
    "occlusion": "1 where the source shows what is needed",
    "decoded": "the generator's own picture, before the source was blended in",
}


def export(
    model: AnimationModel,
    config: Config,
    folder: str | Path,
    kind: str = "onnx",
    precision: str = "fp32",
    clips: list[NDArray[np.uint8]] | None = None,
    force: bool = False,
) -> Agreement:
    """Write a model in eval mode as a folder and compare it with the model; nothing is left behind if they disagree.

    kind       onnx or pt2
    precision  fp32; for onnx also fp16, and int8 (the residual blocks alone, calibrated on the clips)
    clips      real frames (N, H, W, 3) of the model's size to compare on, besides random ones
    """
    if kind not in FORMATS or precision not in FORMATS[kind].writers:
        pairs = [(name, each) for name, kinds in FORMATS.items() for each in kinds.writers]
        known = ", ".join(f"--format {name} --precision {each}" for name, each in pairs)
        raise FommError(f"There is no export to {kind} in {precision}.", f"Known: {known}.")
    suffix, writers, run = FORMATS[kind]
    model = model.cpu().eval()
    with atomic_folder(folder, force) as partial:
        views, cards = graphs(model), {}
        for graph in views:
            file = partial / f"{graph.name}{suffix}"
            writers[precision](graph, file)
            cards[graph.name] = _card(graph, file)
        runs = {graph.name: run(partial / cards[graph.name]["file"]) for graph in views}
        if precision == "int8":
            render = partial / cards["render"]["file"]
            quantize(render, calibration({graph.name: graph for graph in views}, runs, clips or [noise(model.size)]))
            cards["render"]["sha256"] = sha256(render)
            runs["render"] = run(render)
        agreement = verify(views, runs, [noise(model.size), *(clips or [])], precision)
        card = {
            "version": FORMAT,
            "format": kind,
            "precision": precision,
            "opset": OPSET if kind == "onnx" else None,
            "fomm": __version__,
            "name": config.name,
            "size": list(model.size),
            "output_size": list(model.output_size),
            "motion_size": None if model.motion_size is None else list(model.motion_size),
            "detector": of_model(model),
            "conventions": CONVENTIONS,
            "graphs": cards,
            "agreement": agreement._asdict(),
            "config": config.model_dump(mode="json"),
        }
        (partial / "export.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return agreement


def noise(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Three random frames, smooth at the scale of 8 pixels, each a little different: (3, H, W, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.random((size[0] // 8 + 2, size[1] // 8 + 2, 3))
    picture = np.kron(coarse, np.ones((8, 8, 1)))
    frames = [picture[i : i + size[0], 2 * i : 2 * i + size[1]] for i in range(3)]
    return np.stack([np.clip(255 * frame, 0, 255).astype(np.uint8) for frame in frames])


def _card(graph: Graph, file: Path) -> dict[str, Any]:
    """What `export.json` says of one graph."""
    made = graph.module(*graph.example)
    outputs = made if isinstance(made, tuple) else (made,)
    return {
        "file": file.name,
        "sha256": sha256(file),
        "inputs": [_port(graph, name, each) for name, each in zip(graph.inputs, graph.example, strict=True)],
        "outputs": [_port(graph, name, each) for name, each in zip(graph.outputs, outputs, strict=True)],
    }


def _port(graph: Graph, name: str, tensor: Tensor) -> dict[str, Any]:
    base = re.sub(r"_(source|driving|\d+)$", "", name)
    shape: list[int | str] = list(tensor.shape)
    if name in graph.free:
        shape[0] = "batch"
    ranges = {"image": [0, 1], "source": [0, 1], "small": [0, 1], "prediction": [0, 1], "value": [-1, 1]}
    ranges |= {"taper": [0, 1], "occlusion": [0, 1], "decoded": [0, 1]}
    return {
        "name": name,
        "shape": shape,
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "range": ranges.get(base),
        "meaning": _MEANING.get(base, f"the field {base} of a pose or of the encoded source")
        + (f" of the {name.rpartition('_')[2]}" if name.endswith(("_source", "_driving")) else ""),
    }

"""One graph to one file: a function for each format."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fomm_cli.errors import FommError
from fomm_cli.export.half import halve
from fomm_cli.export.views import Graph

OPSET = 17  # 16 brought GridSample; runtimes that stop at 17 are common


def write_onnx(graph: Graph, path: Path) -> None:
    """ONNX, opset 17, named inputs and outputs; the first axis of `graph.free` may have any length."""
    onnx = _package("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every Python number; `verify` tells whether it was right
        torch.onnx.export(
            graph.module,
            tuple(graph.example),
            str(path),
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_axes={name: {0: "batch"} for name in [*graph.inputs, *graph.outputs] if name in graph.free},
            opset_version=OPSET,
            **_TRACED,
        )
    model = onnx.load(str(path))
    onnx.checker.check_model(model)


def write_onnx_fp16(graph: Graph, path: Path) -> None:
    """As `write_onnx`, the convolutions of `render` in half precision; inputs, outputs and coordinates stay float32."""
    write_onnx(graph, path)
    if graph.name != "render":  # keypoints are fp32 always, and the source is encoded once
        return
    halve(path)


def write_pt2(graph: Graph, path: Path) -> None:
    """A `torch.export` program: load it with `torch.export.load(path).module()`."""
    batch = torch.export.Dim("batch", min=1)
    shapes: list[Any] = [{0: batch} if name in graph.free else None for name in graph.inputs]
    if graph.name == "render":
        shapes = [*shapes[:2], tuple(shapes[2:])]
    program = torch.export.export(graph.module, tuple(graph.example), dynamic_shapes=tuple(shapes))
    torch.export.save(program, str(path))


WRITERS: dict[tuple[str, str], Callable[[Graph, Path], None]] = {
    ("onnx", "fp32"): write_onnx,
    ("onnx", "fp16"): write_onnx_fp16,
    ("onnx", "int8"): write_onnx,
    ("pt2", "fp32"): write_pt2,
}

# Up to torch 2.4 the tracing exporter was the only one; it stayed, quick and without more packages, as dynamo=False.
_TRACED: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}


def _package(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise FommError(f"Exporting to ONNX needs the package {name}.", 'pip install "fomm-cli[onnx]"') from error

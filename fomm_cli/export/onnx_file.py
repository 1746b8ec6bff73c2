"""ONNX: a graph to a file, in float32, half precision or with residual blocks of eight bits; run by onnxruntime."""

from __future__ import annotations

import inspect
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.export.views import Graph, Run
from fomm_cli.model.pixels import to_planes

_HALF = {"Conv": (0, 1, 2), "Relu": (0,), "BatchNormalization": (0,), "AveragePool": (0,), "Resize": (0,)}
"""Operator -> which inputs become float16; a norm's own numbers stay float32, as the standard allows."""


def halve(path: Path) -> None:
    """Rewrite a float32 graph in place; its inputs and outputs stay float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    chosen = [node for node in graph.node if node.op_type in _HALF and (node.op_type != "Resize" or _nearest(node))]
    inside = {id(node) for node in chosen}
    made_half = {node.output[0] for node in chosen}
    nodes: list[Any] = []
    ready: set[str] = set()

    def cast(name: str, to: int, suffix: str) -> str:
        wanted = name + suffix
        if wanted not in ready:
            ready.add(wanted)
            nodes.append(helper.make_node("Cast", [name], [wanted], name=f"cast_{wanted}", to=to))
        return wanted

    for node in graph.node:
        half = _HALF[node.op_type] if id(node) in inside else ()
        for port, name in enumerate(node.input):
            if port in half and name in weights:
                if name + "_fp16" not in ready:
                    ready.add(name + "_fp16")
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(values, name + "_fp16"))
                node.input[port] = name + "_fp16"
            elif port in half and name and name not in made_half:
                node.input[port] = cast(name, TensorProto.FLOAT16, "_to_fp16")
            elif port not in half and name in made_half:
                node.input[port] = cast(name, TensorProto.FLOAT, "_to_fp32")
        nodes.append(node)
    for output in graph.output:
        if output.name in made_half:
            raise ValueError(f"{output.name} would become float16")
    used = {name for node in nodes for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    for field, content in ((graph.node, nodes), (graph.initializer, kept)):
        copies = [type(each).FromString(each.SerializeToString()) for each in content]
        del field[:]
        field.extend(copies)
    del graph.value_info[:]
    onnx.save(model, str(path))


def _nearest(node: Any) -> bool:
    """Whether a Resize only repeats pixels; those that interpolate work on flows and occlusion maps."""
    return any(each.name == "mode" and each.s == b"nearest" for each in node.attribute)


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


# Up to torch 2.4 the tracing exporter was the only one; it stayed, quick and without more packages, as dynamo=False.
_TRACED: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}


def _package(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise FommError(f"Exporting to ONNX needs the package {name}.", 'pip install "fomm-cli[onnx]"') from error


def onnx_run(path: Path, threads: int = 0) -> Run:
    """An ONNX file through onnxruntime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def quantize(path: Path, feeds: list[dict[str, NDArray[Any]]]) -> int:
    """Rewrite a float32 `render` graph in place; returns how many convolutions became INT8.

    Only the convolutions of the bottleneck: they are two thirds of the work, and what comes before decides
    where pictures are sampled, what comes after is the picture itself.

    feeds  calibration: inputs of the graph, from which the ranges of activations are taken
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(feeds)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.left, None)

    model = onnx.load(str(path))
    # the tracer names nodes after the modules they come from
    chosen = [node.name for node in model.graph.node if node.op_type == "Conv" and "/bottleneck/" in node.name]
    float32 = path.rename(path.with_suffix(".fp32.onnx"))
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises a preprocessing that changes nothing here
    try:
        quantize_static(
            str(float32),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=chosen,
        )
    finally:
        logging.root.setLevel(level)
        float32.unlink(missing_ok=True)
    return len(chosen)


def calibration(views: dict[str, Any], runs: dict[str, Any], clips: list[NDArray[np.uint8]]) -> list[dict[str, Any]]:
    """Inputs of `render` for every frame of the clips, the first of each as the source, from the exported graphs."""
    feeds = []
    for clip in clips:
        image = to_planes(clip)
        known = dict(zip(views["encode"].outputs, runs["encode"]([image[:1]]), strict=True)) | {"source": image[:1]}
        for which, batch in (("source", image[:1]), ("driving", image)):
            made = runs["detect"]([batch])
            known |= {f"{name}_{which}": each for name, each in zip(views["detect"].outputs, made, strict=True)}
        render = views["render"]
        known |= {
            name: np.ones_like(each)
            for name, each in zip(render.inputs, render.example, strict=True)
            if name == "taper"
        }
        feeds.append({name: known[name] for name in render.inputs})
    return feeds

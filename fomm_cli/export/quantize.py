"""INT8 inside an ONNX graph: the residual blocks' convolutions, by onnxruntime's static quantisation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        image = clip.transpose(0, 3, 1, 2).astype(np.float32) / 255
        known = dict(zip(views["encode"].outputs, runs["encode"]([image[:1]]), strict=True)) | {"source": image[:1]}
        for which, batch in (("source", image[:1]), ("driving", image)):
            made = runs["detect"]([batch])
            known |= {f"{name}_{which}": each for name, each in zip(views["detect"].outputs, made, strict=True)}
        feeds.append({name: known[name] for name in views["render"].inputs})
    return feeds

"""What a graph can be written as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from fomm_cli.export.onnx_file import onnx_run, write_onnx, write_onnx_fp16
from fomm_cli.export.pt2_file import pt2_run, write_pt2
from fomm_cli.export.views import Graph, Run


class Format(NamedTuple):
    """A kind of file.

    suffix   of its files
    writers  precision -> what writes a graph
    run      opens a file, to compare it with the model
    """

    suffix: str
    writers: Mapping[str, Callable[[Graph, Path], None]]
    run: Callable[[Path], Run]


FORMATS = {
    "onnx": Format(".onnx", {"fp32": write_onnx, "fp16": write_onnx_fp16, "int8": write_onnx}, onnx_run),
    "pt2": Format(".pt2", {"fp32": write_pt2}, pt2_run),
}

"""Half precision inside an ONNX graph: convolutions in float16, everything that is a coordinate in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
        for place, name in enumerate(node.input):
            if place in half and name in weights:
                if name + "_fp16" not in ready:
                    ready.add(name + "_fp16")
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(values, name + "_fp16"))
                node.input[place] = name + "_fp16"
            elif place in half and name and name not in made_half:
                node.input[place] = cast(name, TensorProto.FLOAT16, "_to_fp16")
            elif place not in half and name in made_half:
                node.input[place] = cast(name, TensorProto.FLOAT, "_to_fp32")
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

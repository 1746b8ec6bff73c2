"""pt2: a graph to a `torch.export` program, and run by torch."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from fomm_cli.export.views import Graph, Run


def write_pt2(graph: Graph, path: Path) -> None:
    """A `torch.export` program: load it with `torch.export.load(path).module()`."""
    batch = torch.export.Dim("batch", min=1)
    shapes: list[Any] = [{0: batch} if name in graph.free else None for name in graph.inputs]
    parameters = inspect.signature(graph.module.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        shapes = [tuple(shapes)]
    program = torch.export.export(graph.module, tuple(graph.example), dynamic_shapes=tuple(shapes))
    torch.export.save(program, str(path))


def pt2_run(path: Path) -> Run:
    """A `torch.export` file through its module."""
    module = torch.export.load(str(path)).module()

    def run(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.no_grad():
            made = module(*[torch.from_numpy(each) for each in arrays])
        return [each.numpy() for each in (made if isinstance(made, tuple) else (made,))]

    return run

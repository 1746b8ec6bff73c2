"""Tensor-only views of a model's seams: what an export writes, without branches that depend on the data.

    detect   image (B, 3, H, W)                                  -> the fields of a pose, of batch B
    encode   source (1, 3, H, W)                                 -> what `render` reads of the encoded source
    render   that, the source's pose (batch 1: value_source, ...),
             the driving poses (batch B: value_driving, ...)     -> prediction (B, 3, H, W)
             and, where the family has a flow for larger pictures too: taper (h, w), ones to leave all as it is
                                  -> flow (B, h, w, 2) and, where there are such, occlusion (B, 1, h', w') and decoded

Names are those of the fields of the family's tuples; of several maps in one field the first is `features_0`. A field
that a network leaves empty has no port, and one that is the source itself is an input of `render` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fomm_cli.model.network import AnimationModel
from fomm_cli.model.types import Rendering

Run = Callable[[list[NDArray[Any]]], list[NDArray[Any]]]
"""A graph on arrays, wherever it runs."""


class Graph(NamedTuple):
    """One seam, ready to be written.

    inputs, outputs  names, in the order of `forward`
    example          one tensor an input, of a batch of 2 where the batch is free
    free             names of inputs and outputs whose first axis is the batch of driving frames
    """

    name: str
    module: nn.Module
    inputs: list[str]
    outputs: list[str]
    example: list[Tensor]
    free: set[str]


class DetectView(nn.Module):
    def __init__(self, model: AnimationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(ports(self.model.detect(image)).values())


class EncodeView(nn.Module):
    def __init__(self, model: AnimationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        encoded = ports(self.model.encode(source), self.model.rendered)
        return tuple(tensor for name, tensor in encoded.items() if name != "source")


class PoseView(nn.Module):
    """A seam that takes two poses and gives one."""

    def __init__(self, model: AnimationModel, seam: str, fields: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.seam = seam
        self.fields = fields

    def forward(self, *poses: Tensor) -> tuple[Tensor, ...]:
        source, driving = two_poses(self.model, self.fields, poses)
        return tuple(ports(getattr(self.model, self.seam)(source, driving)).values())


class RenderView(nn.Module):
    def __init__(self, model: AnimationModel, encoded: Any) -> None:
        super().__init__()
        self.model = model
        self.kind = type(encoded)
        self.counts = {name: len(field) if isinstance(field, tuple) else 0 for name, field in encoded._asdict().items()}
        self.fields = read_fields(model)

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        taper, given = (given[-1], given[:-1]) if self.model.motion_size is not None else (None, given)
        tensors = iter(given)
        fields: dict[str, Any] = dict.fromkeys(self.counts)
        for name in self.model.rendered:
            count = self.counts[name]
            fields[name] = tuple(next(tensors) for _ in range(count)) if count else next(tensors)
        source, driving = two_poses(self.model, self.fields, list(tensors))
        if taper is None:
            return self.model.render(self.kind(**fields), source, driving, deformed=False).prediction
        made = self.model.render(self.kind(**fields), source, driving, deformed=False, taper=taper)
        return tuple(shown(made).values())


def shown(rendering: Rendering) -> dict[str, Tensor]:
    """What `render` gives where there is a flow, by name."""
    found = {name: getattr(rendering, name) for name in ("prediction", "flow", "occlusion", "decoded")}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def ports(fields: Any, wanted: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a NamedTuple (or of its `wanted` fields) by name; a field of several gives NAME_0, NAME_1, ..."""
    found: dict[str, Tensor] = {}
    for name in wanted or fields._fields:
        field = getattr(fields, name)
        if isinstance(field, tuple):
            found |= {f"{name}_{i}": tensor for i, tensor in enumerate(field)}
        elif field is not None:
            found[name] = field
    return found


def two_poses(model: AnimationModel, fields: Sequence[str], tensors: Sequence[Tensor]) -> tuple[Any, Any]:
    """The source's pose and the driving ones, of their fields in a row."""
    half = len(fields)
    pose = model.family.Pose
    empty = dict.fromkeys(pose._fields)
    return tuple(pose(**empty | dict(zip(fields, part, strict=True))) for part in (tensors[:half], tensors[half:]))


def read_fields(model: AnimationModel) -> list[str]:
    """The fields of a pose that go into a seam."""
    there = model.family.pose_fields(model.config)
    return [name for name in there if name in (model.looked_at or there)]


def graphs(model: AnimationModel) -> list[Graph]:
    """The seams of a model in eval mode, on the CPU."""
    height, width = model.size
    pose, looked_at = model.family.pose_fields(model.config), read_fields(model)
    pictures = torch.rand(2, model.config.num_channels, height, width, generator=torch.Generator().manual_seed(0))
    source = pictures[:1]
    with torch.inference_mode():
        encoded, pose_source, pose_driving = model.encode(source), model.detect(source), model.detect(pictures)
    read = ports(encoded, model.rendered)
    poses = {f"{name}_source": tensor for name, tensor in ports(pose_source, looked_at).items()}
    poses |= {f"{name}_driving": tensor for name, tensor in ports(pose_driving, looked_at).items()}
    free = {f"{name}_driving" for name in looked_at}
    both = read | poses
    made = [name for name in read if name != "source"]
    outputs = ["prediction"]
    if model.motion_size is not None:
        with torch.inference_mode():
            outputs = list(shown(model.render(encoded, pose_source, pose_driving, deformed=False)))
        # not ones: what the exporter could take for a constant would be lost
        both = both | {"taper": torch.linspace(0.5, 1, model.motion_size[1]).repeat(model.motion_size[0], 1)}
    found = [
        Graph("detect", DetectView(model), ["image"], pose, [pictures], {"image", *pose}),
        Graph("encode", EncodeView(model), ["source"], made, [source], set()),
        Graph(
            "render",
            RenderView(model, encoded),
            list(both),
            outputs,
            [tensor.clone() for tensor in both.values()],
            {*outputs, *free},
        ),
    ]
    for seam, fields in model.pose_seams.items():
        names = [f"{name}_{which}" for which in ("source", "driving") for name in fields]
        example = [poses[name].clone() for name in names]
        with torch.inference_mode():
            moved = list(ports(getattr(model, seam)(*two_poses(model, fields, example))))
        found.append(Graph(seam, PoseView(model, seam, fields), names, moved, example, {*free, *moved}))
    for graph in found:
        graph.module.eval()  # the views too: exporters put back the mode they found, all the way down
    return found

"""Tensor-only views of the three seams: what an export writes, without branches that depend on the data.

    detect   image (B, 3, H, W)                                    -> value (B, K, 2), jacobian (B, K, 2, 2)
    encode   source (1, 3, H, W)                                   -> small (1, 3, h, w), features (1, C, H', W')
    render   small, features, [source,] value_source, jacobian_source (of batch 1),
             value_driving, jacobian_driving (of batch B)          -> prediction (B, 3, H, W)

A zero-order model has no Jacobians; `source` is an input of `render` only where the generator blends it in.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fomm_cli.model.network import FirstOrderModel
from fomm_cli.model.types import Encoded, Keypoints


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
    def __init__(self, model: FirstOrderModel) -> None:
        super().__init__()
        self.detector = model.keypoint_detector

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        value, jacobian = self.detector(image)
        return (value,) if jacobian is None else (value, jacobian)


class EncodeView(nn.Module):
    def __init__(self, model: FirstOrderModel) -> None:
        super().__init__()
        self.down = model.dense_motion.down
        self.generator = model.generator

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        return self.down(source), self.generator.encode(source)


class RenderView(nn.Module):
    def __init__(self, model: FirstOrderModel) -> None:
        super().__init__()
        self.dense_motion = model.dense_motion
        self.generator = model.generator
        self.jacobians = model.config.estimate_jacobian

    def forward(self, small: Tensor, features: Tensor, *rest: Tensor) -> Tensor:
        source = small
        if self.generator.blend:
            source, *rest = rest  # type: ignore[assignment]
        if self.jacobians:
            value_source, jacobian_source, value_driving, jacobian_driving = rest
            kp_source, kp_driving = Keypoints(value_source, jacobian_source), Keypoints(value_driving, jacobian_driving)
        else:
            kp_source, kp_driving = Keypoints(rest[0], None), Keypoints(rest[1], None)
        encoded = Encoded(source, small, features)
        motion = self.dense_motion(encoded.small, kp_source, kp_driving)
        return self.generator.decode(encoded.features, encoded.image, motion, deformed=False)[0]


def graphs(model: FirstOrderModel) -> list[Graph]:
    """The three seams of a model in eval mode, on the CPU."""
    height, width = model.size
    pose = ["value", "jacobian"] if model.config.estimate_jacobian else ["value"]
    pictures = torch.rand(2, model.config.num_channels, height, width, generator=torch.Generator().manual_seed(0))
    source = pictures[:1]
    with torch.inference_mode():
        encoded, kp_source, kp_driving = model.encode(source), model.detect(source), model.detect(pictures)
    blended = ["source"] if model.generator.blend else []
    tensors = [encoded.small, encoded.features, *([source] if blended else [])]
    tensors += [each for each in (*kp_source, *kp_driving) if each is not None]
    inputs = [
        "small",
        "features",
        *blended,
        *(f"{each}_source" for each in pose),
        *(f"{each}_driving" for each in pose),
    ]
    driving = {f"{each}_driving" for each in pose}
    # .eval() on the views too: exporters put back the mode they found, all the way down
    detect, encode, render = DetectView(model).eval(), EncodeView(model).eval(), RenderView(model).eval()
    return [
        Graph("detect", detect, ["image"], pose, [pictures], {"image", *pose}),
        Graph("encode", encode, ["source"], ["small", "features"], [source], set()),
        Graph("render", render, inputs, ["prediction"], [t.clone() for t in tensors], {"prediction", *driving}),
    ]

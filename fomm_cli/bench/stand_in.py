"""A network to measure with where no trained weights are given: random, yet alive.

The time a network takes does not depend on its weights, but whether two ways of running it agree can only be seen on
pictures with contrast. Torch's own initialisation gives a grey rectangle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fomm_cli.config.schema import Config
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.pixels import to_frames, to_tensor

_LOGITS = {"kp": 0.1, "jacobian": 0.1, "mask": 0.3, "occlusion": 0.2, "final": 1.5}


def lively(config: Config, seed: int = 0) -> FirstOrderModel:
    """A network of random weights in eval mode whose pictures have contrast and whose keypoints follow the frames.

    Batch norms hold the statistics of a few random pictures; the heads are scaled so that their outputs have the
    standard deviations of _LOGITS (before softmax and sigmoid): enough to see every error, while random features, rough
    where trained ones are smooth, would otherwise magnify each rounding of the flow.
    """
    rng = torch.Generator().manual_seed(seed)
    assert isinstance(config.model, FirstOrderConfig)
    model = FirstOrderModel(config.model, config.data.frame_shape)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=rng)
            nn.init.zeros_(module.bias) if module.bias is not None else None
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.4, generator=rng)
            nn.init.normal_(module.bias, 0, 0.2, generator=rng)
            module.momentum = None  # the statistics of one pass, not a running mean
    pictures = to_tensor(clip(config.data.frame_shape, 3, seed))
    pictures = pictures[:, : config.model.num_channels]
    with torch.no_grad():
        _settle(model, pictures)
        _scale_heads(model, pictures)
        _settle(model, pictures)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return model.eval().requires_grad_(False)


def clip(size: tuple[int, int], frames: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture that drifts: uint8 (frames, H, W, 3)."""
    height, width = size
    rng = torch.Generator().manual_seed(seed + 1)
    margin = max(4, min(size) // 8)
    tall, wide = height + 2 * margin, width + 2 * margin
    coarse = torch.rand(1, 3, max(2, tall // 16), max(2, wide // 16), generator=rng)
    fine = torch.rand(1, 3, max(2, tall // 4), max(2, wide // 4), generator=rng)
    scene = 0.75 * F.interpolate(coarse, (tall, wide), mode="bicubic") + 0.25 * F.interpolate(fine, (tall, wide))
    picture = to_frames(scene)[0]
    out = []
    for i in range(frames):
        top = margin + round(margin * 0.8 * np.sin(0.37 * i))
        left = margin + round(margin * 0.8 * np.sin(0.23 * i + 0.5))
        out.append(picture[top : top + height, left : left + width])
    return np.stack(out)


def _settle(model: FirstOrderModel, pictures: Tensor) -> None:
    """Fill the batch norms with the statistics of these pictures."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    model.train()
    source = pictures[:1]
    model.render(model.encode(source), model.detect(source), model.detect(pictures), deformed=False)
    model.eval()


def _scale_heads(model: FirstOrderModel, pictures: Tensor) -> None:
    detector, dense = model.keypoint_detector, model.dense_motion
    _scale(detector.kp, detector.predictor, _LOGITS["kp"], lambda: model.detect(pictures))
    if detector.jacobian is not None:
        _scale(detector.jacobian, detector.predictor, _LOGITS["jacobian"], lambda: model.detect(pictures))
        bias = torch.tensor([1.0, 0.0, 0.0, 1.0])
        assert detector.jacobian.bias is not None
        detector.jacobian.bias.copy_(bias.repeat(detector.jacobian.out_channels // 4))

    def render() -> None:
        source = pictures[:1]
        model.render(model.encode(source), model.detect(source), model.detect(pictures), deformed=False)

    _scale(dense.mask, dense.hourglass, _LOGITS["mask"], render)
    if dense.occlusion is not None:
        _scale(dense.occlusion, dense.hourglass, _LOGITS["occlusion"], render)
    outputs: list[Tensor] = []
    hook = model.generator.final.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    render()
    hook.remove()
    model.generator.final.weight.mul_(_LOGITS["final"] / outputs[0].std())


def _scale(head: nn.Conv2d, body: nn.Module, std: float, run: Callable[[], object]) -> None:
    """Scale a head's weights so that its output on what `body` gives has this standard deviation."""
    outputs: list[Tensor] = []
    hook = body.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    run()
    hook.remove()
    made = F.conv2d(outputs[0], head.weight, padding=head.padding)
    head.weight.mul_(std / made.std())

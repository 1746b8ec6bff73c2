"""The network of a plain model, rebuilt for speed: the same three seams, the same numbers up to rounding.

What is done to it, each step exact up to rounding: batch norms folded into the convolutions (in float64), those before
a convolution as one affine-and-ReLU; channels_last from end to end; the doubling of the up blocks inside their kernels;
the heads of a network in one convolution, the detector's Jacobians without maps; all candidates of all frames warped
through one grid; the source's features gathered, dimmed and laid out in one pass; convolutions of few outputs in whole
vectors, the last one, which has three, by kernel columns.

Keypoints and everything that is a coordinate stay in float32 whatever the precision: the detector divides by a
temperature of 0.1, which makes pixels of the rounding of its logits.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.engine import layers
from fomm_cli.engine.layers import Conv, Doubling, Head, MeanHead, Phases, gather, packs, rows
from fomm_cli.engine.winograd import WinogradBottleneck, best_tile, gains
from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, ResBlock, SameBlock
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import (
    coordinate_grid,
    gaussians,
    inverse_2x2,
    product_2x2,
    resize,
    resize_flow,
    warp_candidates,
    warp_shared,
)

_GROUP_BYTES = 2**23  # of a map, for as many frames: more fall out of the cache, and malloc takes them afresh each time


class FusedSource(NamedTuple):
    """All that depends on the source alone.

    image     (1, 3, H, W)
    small     (1, 3, h, w): the source, anti-aliased down to the motion maps
    features  (1, C, H / 2^n, W / 2^n), channels_last, float32: the generator's features before the warp
    """

    image: Tensor
    small: Tensor
    features: Tensor


class FusedRendering(NamedTuple):
    """prediction (B, 3, H, W) in [0, 1], flow (B, h, w, 2), occlusion (B, 1, h, w) or None; all float32.

    decoded  (B, 3, H, W): the generator's own picture; None where no source is blended into it
    """

    prediction: Tensor
    decoded: Tensor | None
    flow: Tensor
    occlusion: Tensor | None


class FusedNetwork:
    """Made once from a plain model in eval mode, whose weights it copies.

    size       (H, W) of the frames, which the kernels are chosen for; None: the model's own
    precision  torch.float32, bfloat16 or float16: of the dense-motion hourglass and the generator
    packed     whether to pack weights for oneDNN; None: where this device can
    winograd   whether the bottleneck may use Winograd's convolution, which needs packing; None: as `packed`
    """

    def __init__(
        self,
        model: FirstOrderModel,
        size: tuple[int, int] | None = None,
        precision: torch.dtype = torch.float32,
        packed: bool | None = None,
        winograd: bool | None = None,
    ) -> None:
        self.size = size or model.size
        self.config = model.config
        self.precision = precision
        weight = model.generator.final.weight
        self.device = weight.device
        self.packed = packs(self._like(torch.float32)) if packed is None else packed
        self.gathers = self.device.type == "cpu"  # a GPU samples well by itself
        with torch.no_grad():
            self._detector(model)
            self._dense_motion(model)
            self._generator(model, winograd)

    # ------------------------------------------------------------------------------------------------- construction

    def _detector(self, model: FirstOrderModel) -> None:
        detector = model.keypoint_detector
        like = self._like(torch.float32)
        self.detector_down = _downsample(detector.down)
        side = min(self.size) // detector.down.stride
        self.detector_hourglass = FusedHourglass(detector.predictor, like, side, self.packed)
        heads, num_kp = [detector.kp], self.config.num_kp
        self.jacobian_head: MeanHead | None = None
        if detector.jacobian is not None and detector.jacobian.out_channels == 4 * num_kp:
            self.jacobian_head = MeanHead(detector.jacobian, num_kp)
        elif detector.jacobian is not None:  # one map for all keypoints is quick to make
            heads.append(detector.jacobian)
        weight, bias = layers.merged(*heads)
        temperature = torch.ones_like(bias)
        temperature[:num_kp] = 1 / detector.temperature
        pad = self.config.detector.pad
        self.detector_heads = Conv(
            weight * temperature[:, None, None, None], bias * temperature, like, padding=(pad, pad), packed=self.packed
        )

    def _dense_motion(self, model: FirstOrderModel) -> None:
        dense = model.dense_motion
        like = self._like(self.precision)
        self.dense_down = _downsample(dense.down)
        self.dense_hourglass = FusedHourglass(dense.hourglass, like, min(self.size) // dense.down.stride, self.packed)
        heads = [dense.mask] if dense.occlusion is None else [dense.mask, dense.occlusion]
        self.dense_heads = [Head(*layers.plain(head), like, self.packed) for head in heads]

    def _generator(self, model: FirstOrderModel, winograd: bool | None) -> None:
        generator = model.generator
        like, exact = self._like(self.precision), self._like(torch.float32)
        self.encoder = [
            Conv(*_folded(block), exact, relu=True, packed=self.packed)
            for block in [generator.first, *generator.down_blocks]
        ]
        height, width = (side >> len(generator.down_blocks) for side in self.size)
        side = min(height, width)
        quarter = self.packed if winograd is None else winograd
        self.winograd: WinogradBottleneck | None = None
        self.bottleneck: list[FusedResBlock] = []
        if quarter and len(generator.bottleneck) and gains(_width(generator.bottleneck), height, width):
            tile = best_tile(height, width, exact=self.precision == torch.float32)
            self.winograd = WinogradBottleneck(generator.bottleneck, tile)
        else:
            self.bottleneck = [FusedResBlock(block, like, self.packed) for block in generator.bottleneck]
        self.up_blocks = [_up(block, like, side << i, self.packed) for i, block in enumerate(generator.up_blocks)]
        weight, bias = layers.plain(generator.final)
        largest = weight.shape[1] * self.size[0] * self.size[1] * like.itemsize  # bytes of the widest map of a frame
        self.group = max(1, _GROUP_BYTES // largest) if self.device.type == "cpu" else sys.maxsize
        self.final = Head(weight, bias, like, self.packed)

    def _like(self, dtype: torch.dtype) -> Tensor:
        return torch.empty(0, device=self.device, dtype=dtype)

    # --------------------------------------------------------------------------------------------------- the seams

    @torch.inference_mode()
    def detect(self, image: Tensor) -> Keypoints:
        """Keypoints of images (B, 3, H, W) in [0, 1], float32."""
        x = self.detector_hourglass(_channels_last(self.detector_down(image.float())))
        maps = self.detector_heads(x)  # (B, K or K + 4, h, w)
        num_kp = self.config.num_kp
        height, width = maps.shape[2:]
        flat = maps.flatten(2)
        heatmap = flat[:, :num_kp].contiguous().softmax(dim=2)  # the temperature is in the weights
        grid = coordinate_grid(height, width, like=heatmap).view(-1, 2)
        value = torch.stack([(heatmap * grid[:, axis]).sum(dim=2) for axis in (0, 1)], dim=2)
        if not self.config.estimate_jacobian:
            return Keypoints(value, None)
        if self.jacobian_head is not None:
            jacobian = self.jacobian_head(x, heatmap.view(-1, num_kp, height, width))
        else:
            jacobian = (heatmap.unsqueeze(2) * flat[:, num_kp:].unsqueeze(1)).sum(dim=3)
        return Keypoints(value, jacobian.unflatten(2, (2, 2)))

    @torch.inference_mode()
    def encode(self, source: Tensor) -> FusedSource:
        """Everything that depends on the source (1, 3, H, W) alone; float32, since it is done once."""
        source = source.float()
        x = self.encoder[0](_channels_last(source))
        for conv in self.encoder[1:]:
            x = F.avg_pool2d(conv(x), 2)
        return FusedSource(source, self.dense_down(source), x)

    @torch.inference_mode()
    def render(
        self, source: FusedSource, kp_source: Keypoints, kp_driving: Keypoints, taper: Tensor | None = None
    ) -> FusedRendering:
        """The source in the poses of `kp_driving`, of batch B; `kp_source` of batch 1. `taper` as in `DenseMotion`."""
        flow, occlusion = self.motion(source.small, kp_source, kp_driving)
        if taper is not None:
            flow = torch.lerp(coordinate_grid(taper.shape[0], taper.shape[1], like=flow), flow, taper[..., None])
            occlusion = None if occlusion is None else 1 - taper * (1 - occlusion)
        prediction = decoded = self.decode(source, flow, occlusion)
        if self.config.generator.skip != "blend":
            return FusedRendering(prediction, None, flow, occlusion)
        assert occlusion is not None
        size = (source.image.shape[2], source.image.shape[3])
        warped = warp_shared(source.image, resize_flow(flow, size), self.config.align_corners)
        prediction = decoded.lerp(warped, resize(occlusion, size))
        return FusedRendering(prediction, decoded, flow, occlusion)

    @torch.inference_mode()
    def motion(self, small: Tensor, source: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor | None]:
        """Flow (B, h, w, 2) and occlusion (B, 1, h, w) or None."""
        height, width = small.shape[2:]
        batch, num = driving.value.shape[0], driving.value.shape[1] + 1
        flows = self._candidates(source, driving, height, width)  # (B, K+1, h, w, 2)
        x = small.new_empty((batch, height, width, num, 1 + small.shape[1]))
        variance = self.config.dense_motion.kp_variance
        evidence = gaussians(driving.value, height, width, variance) - gaussians(source.value, height, width, variance)
        x[..., 0, 0] = 0
        x[..., 1:, 0] = evidence.permute(0, 2, 3, 1)
        warped = warp_candidates(small, flows, self.config.align_corners)  # (B, K+1, 3, h, w)
        x[..., 1:] = warped.permute(0, 3, 4, 1, 2)
        features = self.dense_hourglass(x.flatten(3).permute(0, 3, 1, 2))
        mask, *occlusion = (head(features) for head in self.dense_heads)  # (B, K+1, h, w), (B, 1, h, w)
        flow = (mask.softmax(dim=1).unsqueeze(-1) * flows).sum(dim=1)
        return flow, occlusion[0].sigmoid() if occlusion else None

    def _candidates(self, source: Keypoints, driving: Keypoints, height: int, width: int) -> Tensor:
        """M z + (p_s - M p_d), M = J_s J_d^-1, for each keypoint; the identity for the background."""
        grid = coordinate_grid(height, width, like=driving.value)
        batch, num_kp = driving.value.shape[:2]
        flows = grid.new_empty((batch, num_kp + 1, height, width, 2))
        flows[:, 0] = grid
        if source.jacobian is None or driving.jacobian is None:
            flows[:, 1:] = grid + (source.value - driving.value)[:, :, None, None]
            return flows
        matrix = product_2x2(source.jacobian, inverse_2x2(driving.jacobian))[:, :, None, None]  # (B, K, 1, 1, 2, 2)
        offset = grid - driving.value[:, :, None, None]
        moved = torch.addcmul(source.value[:, :, None, None], matrix[..., 0], offset[..., :1])
        flows[:, 1:] = torch.addcmul(moved, matrix[..., 1], offset[..., 1:])
        return flows

    @torch.inference_mode()
    def decode(self, source: FusedSource, flow: Tensor, occlusion: Tensor | None) -> Tensor:
        """The generator's picture (B, 3, H, W) from the source's features under the flow."""
        x = self._warp_features(source.features, flow, occlusion)
        if self.winograd is not None:
            x = self.winograd(x)
        x = x.to(self.precision)
        for block in self.bottleneck:
            x = block(x)
        return torch.cat([self._picture(some) for some in x.split(self.group)])

    def _warp_features(self, features: Tensor, flow: Tensor, occlusion: Tensor | None) -> Tensor:
        size = (features.shape[2], features.shape[3])
        flow = resize_flow(flow, size)
        weight = None if occlusion is None else resize(occlusion, size)
        if self.gathers:
            return gather(rows(features), size, flow, weight, self.config.align_corners)
        x = warp_shared(features, flow, self.config.align_corners)
        return _channels_last(x if weight is None else x * weight)

    def _picture(self, x: Tensor) -> Tensor:
        """What follows the bottleneck."""
        for up in self.up_blocks:
            x = up(x)
        return self.final(x).sigmoid_()


class FusedHourglass:
    """An hourglass with its norms folded: (B, C, H, W) float32 to (B, e + C, H, W) of `like`, channels_last.

    The first block stays float32: it meets pictures, whose mean its norm takes away again, and of a large mean a small
    rounding of the weights leaves an error as large as the signal.

    side  the smaller side of its input
    """

    def __init__(self, plain: Hourglass, like: Tensor, side: int, packed: bool) -> None:
        self.dtype = like.dtype
        self.down = [
            Conv(*_folded(block), like if i else like.float(), relu=True, packed=packed)
            for i, block in enumerate(plain.encoder.down_blocks)
        ]
        count = len(self.down)
        self.up = [_up(block, like, side >> (count - i), packed) for i, block in enumerate(plain.decoder.up_blocks)]

    def __call__(self, x: Tensor) -> Tensor:
        skips = []
        for conv in self.down:
            skips.append(x.to(self.dtype))
            x = F.avg_pool2d(conv(x), 2).to(self.dtype)
        for up in self.up:
            x = torch.cat((up(x), skips.pop()), dim=1)
        return x


class FusedResBlock:
    """x + conv2(ReLU(conv1(ReLU(affine(x))))): the inner norm folded, ReLU and sum inside the convolutions."""

    def __init__(self, plain: nn.Module, like: Tensor, packed: bool) -> None:
        assert isinstance(plain, ResBlock)
        scale, shift = layers.affine(plain.norm1)
        # the outer norm stands before a padded convolution and beside the sum: it stays, as a kernel of one tap
        self.before = Conv(scale[:, None, None, None], shift, like, relu=True, groups=len(scale), packed=packed)
        self.conv1 = Conv(*layers.folded(plain.conv1, plain.norm2), like, relu=True, packed=packed)
        self.conv2 = Conv(*layers.plain(plain.conv2), like, packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(self.before(x)), add=x)


def _width(bottleneck: nn.Sequential) -> int:
    """Channels of the residual blocks."""
    block = bottleneck[0]
    assert isinstance(block, ResBlock)
    return block.conv1.in_channels


def _folded(block: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(block, SameBlock)
    return layers.folded(block.conv, block.norm)


def _up(block: nn.Module, like: Tensor, side: int, packed: bool) -> Doubling | Phases:
    weight, bias = _folded(block)
    if Phases.gain(side, packed):
        return Phases(layers.doubling(weight), bias, like, packed)
    return Doubling(weight, bias, like, packed)


def _downsample(plain: AntiAliasDownsample) -> AntiAliasDownsample:
    """The plain one, which is strided already; a constant of its own, so that the model may move elsewhere."""
    copy = AntiAliasDownsample(plain.kernel.shape[0], plain.scale)
    return copy.to(plain.kernel.device)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)

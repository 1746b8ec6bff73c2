"""Convolution blocks, the hourglass and the anti-aliased down-sampling, under the published names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def in_layout_of(x: Tensor, like: Tensor) -> Tensor:
    """x (B, C, H, W), channels last in memory where `like` is.

    Grid sampling and concatenation forget that layout; each convolution after them would restore it for itself, and
    again on the way back.
    """
    if like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous():
        return x.contiguous(memory_format=torch.channels_last)
    return x


Norm = Callable[[int], Any]
"""A norm for so many channels: batch norm unless a family says otherwise."""


def instance_norm(channels: int) -> nn.GroupNorm:
    """Each channel of each image for itself, so that a picture never depends on its batch.

    A group norm with a group a channel: the numbers of `nn.InstanceNorm2d`, which takes maps out of the channels-last
    layout and is three to seven times slower on processors.
    """
    return nn.GroupNorm(channels, channels)


class SameBlock(nn.Module):
    """Convolution, norm, ReLU: (B, C, H, W) to (B, out, H, W)."""

    def __init__(self, channels: int, out: int, kernel_size: int = 3, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel_size, padding=kernel_size // 2)
        self.norm = norm(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DownBlock(SameBlock):
    """A 3x3 block, then the mean of 2x2 pixels: (B, C, H, W) to (B, out, H/2, W/2)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(SameBlock):
    """Nearest doubling, then a 3x3 block: (B, C, H, W) to (B, out, 2H, 2W).

    Trained on a processor in the shorter way; exports keep the plain one, and the fused engine has its own.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu":
            return F.relu(self.norm(doubled_convolution(x, self.conv.weight, self.conv.bias)))
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


def doubled_convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Nearest doubling, then a 3x3 convolution with padding 1, without the repeated pixels: 2.25 times less work.

    Of the three rows under the kernel two are the same row of the small map: the lower two at an even output row, the
    upper two at an odd one; likewise columns. So each of the four phases of the output is a 2x2 convolution of the
    small map, its weights sums of the given ones. All four are computed at once, and their pixels interleaved.

    x        (B, C, H, W)
    weight   (out, C, 3, 3); bias (out,) or none
    returns  (B, out, 2H, 2W)
    """
    height, width = x.shape[2:]
    out = weight.shape[0]
    phases = torch.stack([torch.stack(_paired(row, 3)) for row in _paired(weight, 2)])  # (2, 2, out, C, 2, 2)
    maps = F.conv2d(x, phases.flatten(0, 2), None if bias is None else bias.repeat(4), padding=1)
    maps = maps.unflatten(1, (2, 2, out))
    lines = [
        torch.stack([maps[:, a, b, :, a : a + height, b : b + width] for b in (0, 1)], dim=-1).flatten(-2)
        for a in (0, 1)
    ]
    return in_layout_of(torch.stack(lines, dim=3).flatten(2, 3), x)


def _paired(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Three taps to two, for even and for odd outputs."""
    first, middle, last = weight.unbind(axis)
    return torch.stack((first, middle + last), axis), torch.stack((first + middle, last), axis)


class ResBlock(nn.Module):
    """x + conv(ReLU(norm(conv(ReLU(norm(x)))))): the norm stands before the convolution, width and size stay."""

    def __init__(self, channels: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = norm(channels)
        self.norm2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(inner)))


class Encoder(nn.Module):
    """The hourglass's way down; returns the input and every block's output, full size first."""

    def __init__(
        self,
        block_expansion: int,
        channels: int,
        num_blocks: int,
        max_features: int,
        norm: Norm = nn.BatchNorm2d,
        block: Callable[..., nn.Module] = DownBlock,
    ) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(
            block(
                channels if i == 0 else min(max_features, block_expansion * 2**i),
                min(max_features, block_expansion * 2 ** (i + 1)),
                norm=norm,
            )
            for i in range(num_blocks)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = [x]
        for block in self.down_blocks:
            outputs.append(block(outputs[-1]))
        return outputs


class Decoder(nn.Module):
    """The hourglass's way up: after each block the encoder's map of that size is appended, the input itself last.

    Returns every block's output so completed, coarse to fine.
    """

    def __init__(
        self,
        block_expansion: int,
        channels: int,
        num_blocks: int,
        max_features: int,
        norm: Norm = nn.BatchNorm2d,
        block: Callable[..., nn.Module] = UpBlock,
    ) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(
            block(
                (1 if i == num_blocks - 1 else 2) * min(max_features, block_expansion * 2 ** (i + 1)),
                min(max_features, block_expansion * 2**i),
                norm=norm,
            )
            for i in reversed(range(num_blocks))
        )
        self.out_channels = block_expansion + channels

    def forward(self, outputs: list[Tensor]) -> list[Tensor]:
        levels = [outputs[-1]]
        for block, skip in zip(self.up_blocks, reversed(outputs[:-1]), strict=True):
            levels.append(torch.cat((block(levels[-1]), skip), dim=1))
        return levels[1:]


class Hourglass(nn.Module):
    """Encoder, decoder, skips: (B, C, H, W) to (B, block_expansion + C, H, W); H, W multiples of 2^num_blocks."""

    def __init__(
        self, block_expansion: int, channels: int, num_blocks: int, max_features: int, norm: Norm = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.encoder = Encoder(block_expansion, channels, num_blocks, max_features, norm)
        self.decoder = Decoder(block_expansion, channels, num_blocks, max_features, norm)
        self.out_channels = self.decoder.out_channels

    def forward(self, x: Tensor) -> Tensor:
        return self.levels(x)[-1]

    def levels(self, x: Tensor) -> list[Tensor]:
        """The maps of every size on the way up, coarse to fine, each beside its skip; the last is the output."""
        return self.decoder(self.encoder(x))


def merged(heads: list[nn.Conv2d], x: Tensor) -> Tensor:
    """Several convolutions of one kernel size and padding on the same input as one: their outputs side by side.

    x        (B, C, H, W)
    returns  (B, sum of the heads' channels, h, w)
    """
    weight = torch.cat([head.weight for head in heads])
    bias = torch.cat([head.bias for head in heads if head.bias is not None])
    return F.conv2d(x, weight, bias, padding=heads[0].padding)


class AntiAliasDownsample(nn.Module):
    """A Gaussian, then every (1/scale)-th pixel starting at 0: (B, C, H, W) to (B, C, ceil(H scale), ceil(W scale)).

    Sigma is (1/scale - 1) / 2, the kernel 2 round(4 sigma) + 1 wide and normalised, the padding zero. A strided
    convolution computes just the pixels that are kept; taking them by resizing instead (a half-pixel phase) makes
    training diverge. The kernel is a constant, not a weight, and is not stored with the weights.
    """

    kernel: Tensor

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.stride = round(1 / scale)
        if abs(self.stride * scale - 1) > 1e-6:
            raise ValueError(f"scale must be 1/n, not {scale}")
        sigma = (1 / scale - 1) / 2
        radius = round(4 * sigma)
        self.radius = radius
        # In Python numbers: arithmetic on the meta device, where weights are checked, would load torch's compiler.
        bell = [math.exp(-(offset**2) / (2 * sigma**2 or 1)) for offset in range(-radius, radius + 1)]
        total = sum(bell) ** 2
        kernel = [[[down * across / total for across in bell] for down in bell]]
        # On the CPU also where the network is built without numbers ("meta"): no file brings these.
        self.register_buffer("kernel", torch.tensor([kernel] * channels, device="cpu"), persistent=False)

    def small(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) of what comes out, of what goes in."""
        return -(-size[0] // self.stride), -(-size[1] // self.stride)

    def forward(self, image: Tensor) -> Tensor:
        if self.stride == 1:
            return image
        return F.conv2d(
            image, self.kernel.to(image.dtype), stride=self.stride, padding=self.radius, groups=image.shape[1]
        )


class ImagePyramid(nn.Module):
    """The image at several scales, anti-aliased: (B, C, H, W) to one (B, C, H s, W s) a scale, in the order given."""

    def __init__(self, scales: tuple[float, ...], channels: int) -> None:
        super().__init__()
        self.downs = nn.ModuleList(AntiAliasDownsample(channels, scale) for scale in scales)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [down(image) for down in self.downs]

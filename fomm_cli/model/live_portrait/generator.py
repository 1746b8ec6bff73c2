"""The warped volume to a picture twice the size of the source: the rest of W, and G, of arXiv 2407.03168.

Every block is normalised by maps made of the warped volume itself (SPADE, arXiv 1903.07291).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.model.blocks import SameBlock
from fomm_cli.model.live_portrait import volume
from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.types import DenseMotion


class Spade(nn.Module):
    """Instance norm whose scale and shift are read off maps, pixel by pixel: IN(x) (1 + gamma(maps)) + beta(maps)."""

    def __init__(self, width: int, maps: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(maps, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, width, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, width, 3, padding=1)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """x (B, C, H, W), maps (B, M, H, W)."""
        shared = self.mlp_shared(maps)
        return F.instance_norm(x, eps=1e-5) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class SpadeBlock(nn.Module):
    """Two normalised convolutions around which the input is added, through a third where the width changes."""

    def __init__(self, width: int, out: int, maps: int, hidden: int) -> None:
        super().__init__()
        inner = min(width, out)
        self.conv_0 = nn.Conv2d(width, inner, 3, padding=1)
        self.conv_1 = nn.Conv2d(inner, out, 3, padding=1)
        self.norm_0 = Spade(width, maps, hidden)
        self.norm_1 = Spade(inner, maps, hidden)
        self.conv_s: nn.Conv2d | None = None
        if width != out:
            self.conv_s = nn.Conv2d(width, out, 1, bias=False)
            self.norm_s = Spade(width, maps, hidden)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """x (B, C, H, W); maps (B, M, h, w), enlarged to x where they are smaller."""
        maps = F.interpolate(maps, size=x.shape[2:], mode="nearest")
        inner = self.conv_0(F.leaky_relu(self.norm_0(x, maps), 0.2))
        inner = self.conv_1(F.leaky_relu(self.norm_1(inner, maps), 0.2))
        return inner + (x if self.conv_s is None else self.conv_s(self.norm_s(x, maps)))


class LeakyBlock(SameBlock):
    """The block with a slope of 0.01 below zero instead of none."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


class SpadeGenerator(nn.Module):
    """Source volume and dense motion to a picture."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        part, source = config.generator, config.appearance
        maps, wide, hidden = part.features, 2 * part.features, part.hidden
        self.third = LeakyBlock(source.channels * source.depth, maps)
        self.fourth = nn.Conv2d(maps, maps, 1)
        self.fc = nn.Conv2d(maps, wide, 3, padding=1)
        self.middle_blocks = nn.ModuleList(SpadeBlock(wide, wide, maps, hidden) for _ in range(part.num_middle_blocks))
        self.up_blocks = nn.ModuleList(
            (SpadeBlock(wide, maps, maps, hidden), SpadeBlock(maps, part.last, maps, hidden))
        )
        self.conv_img = nn.Sequential(nn.Conv2d(part.last, 12, 3, padding=1), nn.PixelShuffle(2))

    def decode(self, features: Tensor, motion: DenseMotion) -> Tensor:
        """The picture (B, 3, 8 h, 8 w) of a source volume (B or 1, C, D, h, w) under the motion."""
        return self.paint(self.warped(features, motion))

    def warped(self, features: Tensor, motion: DenseMotion) -> Tensor:
        """The volume under the flow as maps (B, M, h, w), dimmed where the source shows nothing."""
        flow = motion.flow
        with torch.autocast(flow.device.type, enabled=False):  # coordinates need more than bf16's 8 bits
            moved = volume.warped(features.to(flow.dtype), flow)
        maps = self.fourth(self.third(moved.flatten(1, 2)))
        return maps * motion.occlusions[-1]

    def paint(self, maps: Tensor) -> Tensor:
        """The picture (B, 3, 8 h, 8 w), in [0, 1], of maps (B, M, h, w)."""
        x = self.fc(maps)
        for block in self.middle_blocks:
            x = block(x, maps)
        for block in self.up_blocks:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), maps)
        return self.conv_img(F.leaky_relu(x, 0.2)).float().sigmoid()

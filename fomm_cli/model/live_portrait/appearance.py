"""The source picture as a volume of features: F of arXiv 2407.03168."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from fomm_cli.model.blocks import DownBlock, SameBlock
from fomm_cli.model.live_portrait import volume
from fomm_cli.model.live_portrait.config import LivePortraitConfig


class AppearanceExtractor(nn.Module):
    """Picture (B, 3, H, W) to volume (B, C, D, H / 2^n, W / 2^n); no driving frame changes it."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        part = config.appearance
        widths = [min(part.max_features, part.block_expansion * 2**i) for i in range(part.num_down_blocks + 1)]
        self.shape = (part.channels, part.depth)
        self.first = SameBlock(3, widths[0])
        self.down_blocks = nn.ModuleList(DownBlock(narrow, wide) for narrow, wide in pairwise(widths))
        self.second = nn.Conv2d(widths[-1], part.channels * part.depth, 1)
        self.resblocks_3d = nn.Sequential(
            OrderedDict((f"3dr{i}", volume.ResBlock(part.channels)) for i in range(part.num_resblocks))
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(self.second(x).unflatten(1, self.shape))

"""The picture: the warped source enters at every scale, the decoder fills what it does not show."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import DownBlock, ResBlock, SameBlock, UpBlock, in_layout_of
from fomm_cli.model.geometry import resize, resize_flow, warp_shared
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.types import DenseMotion


class RegionGenerator(nn.Module):
    """Source features of every scale, warped by the flow, merged by the occlusion map into what is decoded."""

    def __init__(self, config: RegionsConfig) -> None:
        super().__init__()
        generator = config.generator
        widths = [
            min(generator.max_features, generator.block_expansion * 2**i) for i in range(generator.num_down_blocks + 1)
        ]
        self.align_corners = config.align_corners
        self.skips = generator.skips
        self.first = SameBlock(config.num_channels, widths[0], kernel_size=7)
        self.down_blocks = nn.ModuleList(DownBlock(narrow, wide) for narrow, wide in pairwise(widths))
        self.bottleneck = nn.Sequential(
            OrderedDict((f"r{i}", ResBlock(widths[-1])) for i in range(generator.num_bottleneck_blocks))
        )
        self.up_blocks = nn.ModuleList(UpBlock(wide, narrow) for wide, narrow in pairwise(reversed(widths)))
        self.final = nn.Conv2d(widths[0], config.num_channels, 7, padding=3)

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Features of the source (B, 3, H, W), which no driving frame changes: of every scale, coarse to fine; without
        skips the coarsest alone.
        """
        features = [self.first(source)]
        for block in self.down_blocks:
            features.append(block(features[-1]))
        return tuple(reversed(features)) if self.skips else (features[-1],)

    def decode(
        self, features: tuple[Tensor, ...], source: Tensor, motion: DenseMotion, deformed: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(prediction, deformed source or None), each (B, 3, H, W).

        features, source  (B or 1, ...): a batch of 1 serves all of the motion's frames
        deformed          whether to warp the source itself too; skips do anyway
        """
        coarsest, *finer = features
        warped = self._warped(coarsest, motion)
        x = warped
        occlusion = motion.occlusion
        if occlusion is not None:
            x = x * resize(occlusion, (x.shape[2], x.shape[3]))
        x = self.bottleneck(in_layout_of(x, coarsest))
        if not self.skips:
            for block in self.up_blocks:
                x = block(x)
            prediction = self.final(x).to(motion.flow.dtype).sigmoid()
            return prediction, self._warped(source, motion) if deformed else None
        x = in_layout_of(_merge(x, warped, occlusion), coarsest)
        for block, level in zip(self.up_blocks, finer, strict=True):
            x = in_layout_of(_merge(block(x), self._warped(level, motion), occlusion), coarsest)
        prediction = self.final(x).to(motion.flow.dtype).sigmoid()
        picture = self._warped(source, motion)
        return _merge(prediction, picture, occlusion), picture

    def _warped(self, maps: Tensor, motion: DenseMotion) -> Tensor:
        """Source maps (B or 1, C, H, W) under the motion's flow, in the precision of its coordinates."""
        with torch.autocast(maps.device.type, enabled=False):  # coordinates need more than bf16's 8 bits
            flow = resize_flow(motion.flow, (maps.shape[2], maps.shape[3]))
            return warp_shared(maps.to(flow.dtype), flow, self.align_corners)


def _merge(x: Tensor, warped: Tensor, occlusion: Tensor | None) -> Tensor:
    """The warped source where it shows what is needed, x elsewhere; without an occlusion map it always does."""
    if occlusion is None:
        return warped
    keep = resize(occlusion, (warped.shape[2], warped.shape[3]))
    return keep * warped + (1 - keep) * x

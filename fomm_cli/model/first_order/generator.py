"""The picture: encode the source once, then warp and decode for every driving frame."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import DownBlock, ResBlock, SameBlock, UpBlock, in_layout_of
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.geometry import resize, resize_flow, warp_shared
from fomm_cli.model.types import DenseMotion, Rendering


class OcclusionAwareGenerator(nn.Module):
    """Source features, warped by the flow and dimmed where the source shows nothing, decoded to a picture."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        generator = config.generator
        widths = [
            min(generator.max_features, generator.block_expansion * 2**i) for i in range(generator.num_down_blocks + 1)
        ]
        self.align_corners = config.align_corners
        self.blend = generator.skip == "blend"
        self.first = SameBlock(config.num_channels, widths[0], kernel_size=7)
        self.down_blocks = nn.ModuleList(DownBlock(narrow, wide) for narrow, wide in pairwise(widths))
        self.bottleneck = nn.Sequential(
            OrderedDict((f"r{i}", ResBlock(widths[-1])) for i in range(generator.num_bottleneck_blocks))
        )
        self.up_blocks = nn.ModuleList(UpBlock(wide, narrow) for wide, narrow in pairwise(reversed(widths)))
        self.final = nn.Conv2d(widths[0], config.num_channels, 7, padding=3)

    def encode(self, source: Tensor) -> Tensor:
        """Features of the source, which no driving frame changes: (B, 3, H, W) to (B, C, H / 2^n, W / 2^n)."""
        features = self.first(source)
        for block in self.down_blocks:
            features = block(features)
        return features

    def decode(self, features: Tensor, source: Tensor, motion: DenseMotion, deformed: bool) -> Rendering:
        """The frames (B, 3, H, W).

        features, source  (B or 1, ...): a batch of 1 serves all of the motion's frames
        deformed          whether to warp the source itself too; blending does anyway
        """
        with torch.autocast(features.device.type, enabled=False):  # coordinates need more than bf16's 8 bits
            flow = resize_flow(motion.flow, (features.shape[2], features.shape[3]))
            x = warp_shared(features.to(flow.dtype), flow, self.align_corners)
            if motion.occlusion is not None:
                x = x * resize(motion.occlusion, (x.shape[2], x.shape[3]))
            warped = None
            if deformed or self.blend:
                full = resize_flow(motion.flow, (source.shape[2], source.shape[3]))
                warped = warp_shared(source.to(full.dtype), full, self.align_corners)
        x = self.bottleneck(in_layout_of(x, features))
        for block in self.up_blocks:
            x = block(x)
        decoded = self.final(x).to(flow.dtype).sigmoid()
        if not self.blend:
            return Rendering(decoded, motion, warped)
        assert warped is not None
        assert motion.occlusion is not None
        keep = resize(motion.occlusion, (source.shape[2], source.shape[3]))
        return Rendering(keep * warped + (1 - keep) * decoded, motion, warped, decoded)

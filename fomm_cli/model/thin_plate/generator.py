"""The picture: features of four sizes, each warped and dimmed for itself (`inpainting_network` in published files)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import DownBlock, ResBlock, SameBlock, UpBlock, in_layout_of, instance_norm
from fomm_cli.model.geometry import resize, resize_flow, warp_shared
from fomm_cli.model.thin_plate.config import ThinPlateConfig
from fomm_cli.model.types import DenseMotion


class InpaintingGenerator(nn.Module):
    """Decodes warped source features from coarse to fine, and keeps the warped source itself where it shows enough."""

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        generator = config.generator
        widths = [
            min(generator.max_features, generator.block_expansion * 2**i) for i in range(generator.num_down_blocks + 1)
        ]
        self.first = SameBlock(config.num_channels, widths[0], kernel_size=7, norm=instance_norm)
        self.down_blocks = nn.ModuleList(
            DownBlock(narrow, wide, norm=instance_norm) for narrow, wide in pairwise(widths)
        )
        steps = list(pairwise(reversed(widths)))
        # From the second step on, each block's input is the last one's output beside a warped map of that size.
        inputs = [wide if step == 0 else 2 * wide for step, (wide, _) in enumerate(steps)]
        self.up_blocks = nn.ModuleList(
            UpBlock(wide, narrow, norm=instance_norm) for wide, (_, narrow) in zip(inputs, steps, strict=True)
        )
        self.resblock = nn.ModuleList(ResBlock(wide, norm=instance_norm) for wide in inputs for _ in range(2))
        self.final = nn.Conv2d(widths[0], config.num_channels, 7, padding=3)

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """Features of an image (B, 3, H, W), coarse to fine: (B, C, H / 2^n, W / 2^n) to (B, c, H, W)."""
        maps = [self.first(image)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(reversed(maps))

    def decode(self, features: tuple[Tensor, ...], source: Tensor, motion: DenseMotion) -> tuple[Tensor, Tensor]:
        """(prediction, deformed source), each (B, 3, H, W).

        features, source  (B or 1, ...): a batch of 1 serves all of the motion's frames
        """
        dimmed = [in_layout_of(one, like) for one, like in zip(warped(features, motion), features, strict=True)]
        x = dimmed[0]
        for step, block in enumerate(self.up_blocks):
            x = block(self.resblock[2 * step + 1](self.resblock[2 * step](x)))
            if step < len(self.up_blocks) - 1:
                x = torch.cat((x, dimmed[step + 1].to(x.dtype)), dim=1)
        size = (source.shape[2], source.shape[3])
        keep = resize(motion.occlusions[-1], size, align_corners=True)
        x = self.final(x * (1 - keep) + dimmed[-1])
        with torch.autocast(source.device.type, enabled=False):
            flow = resize_flow(motion.flow, size, align_corners=True)
            deformed = warp_shared(source.to(flow.dtype), flow, align_corners=True)
            prediction = x.to(flow.dtype).sigmoid() * (1 - keep) + deformed * keep
        return prediction, deformed


def warped(features: tuple[Tensor, ...], motion: DenseMotion) -> list[Tensor]:
    """Source features under the flow, dimmed where the source shows nothing: (B, C, h, w) each, coarse to fine.

    A single occlusion map serves all sizes; several are of the features' own.
    """
    single = len(motion.occlusions) == 1
    found = []
    for level, feature in enumerate(features):
        size = (feature.shape[2], feature.shape[3])
        with torch.autocast(feature.device.type, enabled=False):
            flow = resize_flow(motion.flow, size, align_corners=True)
            occlusion = resize(motion.occlusions[0 if single else level], size, align_corners=True)
            found.append(warp_shared(feature.to(flow.dtype), flow, align_corners=True) * occlusion)
    return found

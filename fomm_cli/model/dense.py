"""From candidate flows to one flow and an occlusion map (eqs. 7, 8 of arXiv 2003.00196)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, in_layout_of, merged
from fomm_cli.model.config import DenseMotionConfig
from fomm_cli.model.geometry import warp_candidates
from fomm_cli.model.types import DenseMotion


class DenseMotionNetwork(nn.Module):
    """Weighs candidate flows against each other, pixel by pixel; which there are, a family says.

    count         candidates, that of the background included
    channels      of images
    occlusion     whether it tells what the source does not show
    sees_warped   whether it sees the source as each candidate would have it, beside what speaks for each
    """

    def __init__(
        self,
        config: DenseMotionConfig,
        count: int,
        channels: int,
        align_corners: bool,
        occlusion: bool,
        sees_warped: bool = True,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.sees_warped = sees_warped
        self.down = AntiAliasDownsample(channels, config.scale_factor)
        seen = count * (1 + channels) if sees_warped else count
        self.hourglass = Hourglass(config.block_expansion, seen, config.num_blocks, config.max_features)
        self.mask = nn.Conv2d(self.hourglass.out_channels, count, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3) if occlusion else None

    def chosen(self, small: Tensor, flows: Tensor, evidence: Tensor) -> DenseMotion:
        """One flow for the whole picture.

        small     (B or 1, 3, h, w): the source as `down` leaves it
        flows     (B, N, h, w, 2): where each candidate looks in the source
        evidence  (B, N, h, w): what speaks for each, and where
        """
        with torch.autocast(small.device.type, enabled=False):
            warped = warp_candidates(small.to(flows.dtype), flows, self.align_corners)  # (B, N, 3, h, w)
            if self.sees_warped:  # interleaved: evidence, R, G, B of candidate 0, then of 1, ...
                evidence = torch.cat((evidence.unsqueeze(2), warped), dim=2).flatten(1, 2)
        features = self.hourglass(in_layout_of(evidence, small))
        maps = merged([self.mask] if self.occlusion is None else [self.mask, self.occlusion], features).to(flows.dtype)
        count = flows.shape[1]
        occlusions = () if self.occlusion is None else (maps[:, count:].sigmoid(),)
        with torch.autocast(small.device.type, enabled=False):
            mask = maps[:, :count].softmax(dim=1)
            flow = (mask.unsqueeze(-1) * flows).sum(dim=1)
        return DenseMotion(flow, occlusions, mask, warped)

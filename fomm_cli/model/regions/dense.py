"""From regions to one flow and an occlusion map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, in_layout_of, merged
from fomm_cli.model.geometry import coordinate_grid, warp_candidates
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.motion import candidates, evidence
from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.types import DenseMotion


class RegionMotionNetwork(nn.Module):
    """Weighs the candidate flows against each other, pixel by pixel."""

    def __init__(self, config: RegionsConfig) -> None:
        super().__init__()
        dense = config.dense_motion
        count = config.num_regions + 1
        self.revert_axis_swap = dense.revert_axis_swap
        self.variance = None if dense.covariance_evidence else dense.region_variance
        self.deformed_source = dense.deformed_source
        self.align_corners = config.align_corners
        self.down = AntiAliasDownsample(config.num_channels, dense.scale_factor)
        channels = count * (config.num_channels + 1) if dense.deformed_source else count
        self.hourglass = Hourglass(dense.block_expansion, channels, dense.num_blocks, dense.max_features)
        self.mask = nn.Conv2d(self.hourglass.out_channels, count, 7, padding=3)
        self.occlusion: nn.Conv2d | None = None
        if config.generator.estimate_occlusion_map:
            self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3)

    def forward(
        self, small: Tensor, source: Regions, driving: Regions, background: Tensor | None = None
    ) -> DenseMotion:
        """The dense motion from regions and the down-sampled source.

        small       (B or 1, 3, h, w)
        background  (B, 3, 3) as of `BackgroundPredictor`; None: it stands still
        """
        height, width = small.shape[2:]
        with torch.autocast(small.device.type, enabled=False):
            grid = coordinate_grid(height, width, like=driving.value)
            flows = candidates(source, driving, grid, background, self.revert_axis_swap)  # (B, K+1, h, w, 2)
            shown = evidence(source, driving, height, width, self.variance)  # (B, K+1, h, w)
            warped = warp_candidates(small.to(flows.dtype), flows, self.align_corners)  # (B, K+1, 3, h, w)
            if self.deformed_source:  # interleaved by candidate: evidence, R, G, B of candidate 0, then of 1, ...
                shown = torch.cat((shown.unsqueeze(2), warped), dim=2).flatten(1, 2)
        features = self.hourglass(in_layout_of(shown, small))
        maps = merged([self.mask] if self.occlusion is None else [self.mask, self.occlusion], features).to(flows.dtype)
        count = flows.shape[1]
        occlusions = () if self.occlusion is None else (maps[:, count:].sigmoid(),)
        with torch.autocast(small.device.type, enabled=False):
            mask = maps[:, :count].softmax(dim=1)
            flow = (mask.unsqueeze(-1) * flows).sum(dim=1)
        return DenseMotion(flow, occlusions, mask, warped)

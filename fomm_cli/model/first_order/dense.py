"""From keypoints to one flow and an occlusion map (eqs. 7, 8 of arXiv 2003.00196)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, in_layout_of, merged
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.motion import candidates, evidence
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import coordinate_grid, warp_candidates
from fomm_cli.model.types import DenseMotion


class DenseMotionNetwork(nn.Module):
    """Weighs the candidate flows against each other, pixel by pixel."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        dense = config.dense_motion
        self.kp_variance = dense.kp_variance
        self.align_corners = config.align_corners
        self.down = AntiAliasDownsample(config.num_channels, dense.scale_factor)
        self.hourglass = Hourglass(
            dense.block_expansion,
            (config.num_kp + 1) * (config.num_channels + 1),
            dense.num_blocks,
            dense.max_features,
        )
        self.mask = nn.Conv2d(self.hourglass.out_channels, config.num_kp + 1, 7, padding=3)
        self.occlusion: nn.Conv2d | None = None
        if config.generator.estimate_occlusion_map:
            self.occlusion = nn.Conv2d(self.hourglass.out_channels, 1, 7, padding=3)

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> DenseMotion:
        """The dense motion from keypoints and the down-sampled source.

        small    (B or 1, 3, h, w)
        """
        height, width = small.shape[2:]
        with torch.autocast(small.device.type, enabled=False):
            grid = coordinate_grid(height, width, like=driving.value)
            flows = candidates(source, driving, grid)  # (B, K+1, h, w, 2)
            heat = evidence(source, driving, height, width, self.kp_variance)
            warped = warp_candidates(small.to(flows.dtype), flows, self.align_corners)  # (B, K+1, 3, h, w)
            # interleaved by candidate: heat map, R, G, B of candidate 0, then of 1, ...
            evidence_and_warped = torch.cat((heat.unsqueeze(2), warped), dim=2).flatten(1, 2)
        features = self.hourglass(in_layout_of(evidence_and_warped, small))
        maps = merged([self.mask] if self.occlusion is None else [self.mask, self.occlusion], features).to(flows.dtype)
        count = flows.shape[1]
        occlusions = () if self.occlusion is None else (maps[:, count:].sigmoid(),)
        with torch.autocast(small.device.type, enabled=False):
            mask = maps[:, :count].softmax(dim=1)
            flow = (mask.unsqueeze(-1) * flows).sum(dim=1)
        return DenseMotion(flow, occlusions, mask, warped)

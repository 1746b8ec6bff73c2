"""From splines to one flow and occlusion maps of several sizes (eqs. 6-8 of arXiv 2203.14367)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, UpBlock, in_layout_of, instance_norm, merged
from fomm_cli.model.geometry import warp_candidates
from fomm_cli.model.thin_plate.config import ThinPlateConfig
from fomm_cli.model.thin_plate.pose import SplinePoints
from fomm_cli.model.thin_plate.splines import candidates, evidence
from fomm_cli.model.types import DenseMotion


class DenseMotionNetwork(nn.Module):
    """Weighs the splines against each other, pixel by pixel, and tells what the source does not show."""

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        dense = config.dense_motion
        self.kp_variance = dense.kp_variance
        self.down = AntiAliasDownsample(config.num_channels, dense.scale_factor)
        self.hourglass = Hourglass(
            dense.block_expansion,
            config.points + 1 + config.num_channels * (config.num_tps + 1),
            dense.num_blocks,
            dense.max_features,
            norm=instance_norm,
        )
        width = self.hourglass.out_channels
        self.maps = nn.Conv2d(width, config.num_tps + 1, 7, padding=3)
        # Occlusion maps from H/8 to H: of the hourglass's levels as far as these reach, of `up` beyond.
        doublings = config.doublings if config.multi_mask else 0
        self.levels = 4 - doublings if config.multi_mask else 1
        cap, first = dense.max_features, dense.block_expansion
        coarse = [2 * min(cap, first * 2**level) for level in range(self.levels - 1, 0, -1)]
        fine = [width >> step for step in range(doublings + 1)]
        self.up = nn.ModuleList(UpBlock(wide, narrow, norm=instance_norm) for wide, narrow in pairwise(fine))
        self.occlusion = nn.ModuleList(nn.Conv2d(channels, 1, 7, padding=3) for channels in (*coarse, *fine))

    def forward(
        self,
        small: Tensor,
        source: SplinePoints,
        driving: SplinePoints,
        background: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> DenseMotion:
        """The dense motion from points and the down-sampled source.

        small       (B or 1, 3, h, w)
        background  (B, 3, 3), driving to source; None is the identity
        keep        (B, K+1) of 0 and 1: candidates with 0 take no part, in training only; None keeps all
        """
        height, width = small.shape[2:]
        with torch.autocast(small.device.type, enabled=False):
            flows = candidates(source.value, driving.value, height, width, background)  # (B, K+1, h, w, 2)
            heat = evidence(source.value, driving.value, height, width, self.kp_variance)  # (B, 5K+1, h, w)
            warped = warp_candidates(small.to(flows.dtype), flows, align_corners=True)  # (B, K+1, 3, h, w)
            x = torch.cat((heat, warped.flatten(1, 2)), dim=1)
        *coarse, full = self.hourglass.levels(in_layout_of(x, small))[-self.levels :]
        # The two heads at this size as one convolution: a wide one costs little more than a narrow one.
        occlusion = self.occlusion[len(coarse)]
        assert isinstance(occlusion, nn.Conv2d)
        heads = merged([self.maps, occlusion], full).to(flows.dtype)
        logits, middle = heads[:, :-1], heads[:, -1:].sigmoid()
        x, fine = full, []
        for block in self.up:
            x = block(x)
            fine.append(x)
        occlusions = [self._occlusion(head, level, flows) for head, level in enumerate(coarse)]
        occlusions.append(middle)
        occlusions += [self._occlusion(head, level, flows) for head, level in enumerate(fine, self.levels)]
        with torch.autocast(small.device.type, enabled=False):
            mask = logits.softmax(dim=1) if keep is None else dropped_softmax(logits, keep)
            flow = (mask.unsqueeze(-1) * flows).sum(dim=1)
        return DenseMotion(flow, tuple(occlusions), mask, warped)

    def _occlusion(self, head: int, level: Tensor, like: Tensor) -> Tensor:
        return self.occlusion[head](level).to(like.dtype).sigmoid()


def dropped_softmax(logits: Tensor, keep: Tensor) -> Tensor:
    """A softmax over the candidates that are kept (eq. 7); its sum is just below 1.

    The maximum that is taken off first is that of all candidates, as published; the gradient goes through it.

    logits   (B, K+1, h, w)
    keep     (B, K+1), of 0 and 1
    """
    shares = keep[:, :, None, None] * torch.exp(logits - logits.amax(dim=1, keepdim=True))
    return shares / (shares.sum(dim=1, keepdim=True) + 1e-6)

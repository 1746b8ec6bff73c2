"""What passes between the parts of a model, and the one legend of shapes.

B       batch: driving frames          K   points of a pose
H, W    image size, in pixels          h, w   size of the motion maps (image size times `dense_motion.scale_factor`)
image   (B, 3, H, W), RGB, float in [0, 1]
points  xy in [-1, 1], x right, y down; -1 and 1 are the centres of the corner pixels
flow    for every output pixel the point of the source to look at, in the units of points (a backward warp)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fomm_cli.model.geometry import coordinate_grid, resize


class Encoded(NamedTuple):
    """All that depends on the source alone; a batch of 1 serves any number of driving frames.

    source    (B or 1, 3, H, W)
    small     what the dense motion sees of it: (B or 1, 3, h, w), anti-aliased down to the motion maps
    features  what the generator warps: (B or 1, C, H / 2^n, W / 2^n), or several, coarse to fine
    """

    source: Tensor
    small: Tensor
    features: Any


class DenseMotion(NamedTuple):
    """One flow for the whole picture, chosen between candidates.

    flow        (B, h, w, 2), points of the source
    occlusions  (B, 1, h', w') each, in [0, 1], coarse to fine: 1 where the source shows what is needed; empty without
                occlusion maps
    mask        (B, N, h, w): the share of each candidate; candidate 0 is the background, sums to 1
    candidates_warped  (B, N, 3, h, w): the down-sampled source warped by each candidate
    """

    flow: Tensor
    occlusions: tuple[Tensor, ...]
    mask: Tensor
    candidates_warped: Tensor

    def tapered(self, taper: Tensor | None) -> DenseMotion:
        """The same where `taper` (h, w) is 1, standing still and wholly visible where it is 0.

        flow' = T flow + (1 - T) identity, occlusion' = T occlusion + (1 - T): whatever borders on the picture's
        surroundings stays attached to them.
        """
        if taper is None:
            return self
        height, width = taper.shape
        with torch.autocast(self.flow.device.type, enabled=False):
            flow = torch.lerp(coordinate_grid(height, width, like=self.flow), self.flow, taper[..., None])
            shares = [resize(taper[None, None], (maps.shape[2], maps.shape[3])) for maps in self.occlusions]
            occlusions = tuple(1 - share * (1 - maps) for share, maps in zip(shares, self.occlusions, strict=True))
        return self._replace(flow=flow, occlusions=occlusions)

    @property
    def occlusion(self) -> Tensor | None:
        """The finest occlusion map, for pictures and measures."""
        return self.occlusions[-1] if self.occlusions else None


class Rendering(NamedTuple):
    """A frame and what explains it.

    prediction  (B, 3, H, W) in [0, 1]
    motion      the dense motion
    deformed    (B, 3, H, W): the source itself under the flow; None where it was not asked for
    decoded     (B, 3, H, W) in [0, 1]: the generator's own picture, before the source was blended in; None where
                nothing is blended
    """

    prediction: Tensor
    motion: DenseMotion
    deformed: Tensor | None
    decoded: Tensor | None = None

    @property
    def flow(self) -> Tensor:
        """Of the motion, (B, h, w, 2)."""
        return self.motion.flow

    @property
    def occlusion(self) -> Tensor | None:
        """The motion's finest, (B, 1, h', w')."""
        return self.motion.occlusion

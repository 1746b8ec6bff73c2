"""What regions say of how a picture moves: a candidate flow each, and evidence of where they lie."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.dense import DenseMotionNetwork
from fomm_cli.model.geometry import apply_2x2, coordinate_grid, gaussians, inverse_2x2, product_2x2
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.covariance import ellipses
from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.types import DenseMotion


class RegionMotion(DenseMotionNetwork):
    """What regions say of how the picture moves, as one flow."""

    def __init__(self, config: RegionsConfig) -> None:
        dense, count = config.dense_motion, config.num_regions + 1
        occlusion = config.generator.estimate_occlusion_map
        super().__init__(
            dense, count, config.num_channels, config.align_corners, occlusion, sees_warped=dense.deformed_source
        )
        self.revert_axis_swap = dense.revert_axis_swap
        self.variance = None if dense.covariance_evidence else dense.region_variance

    def forward(
        self, small: Tensor, source: Regions, driving: Regions, background: Tensor | None = None
    ) -> DenseMotion:
        """The dense motion of the source.

        small       (B or 1, 3, h, w): the source as `down` leaves it
        background  (B, 3, 3) as of `BackgroundPredictor`; None: it stands still
        """
        height, width = small.shape[2:]
        with torch.autocast(small.device.type, enabled=False):
            grid = coordinate_grid(height, width, like=driving.value)
            flows = candidates(source, driving, grid, background, self.revert_axis_swap)
            shown = evidence(source, driving, height, width, self.variance)
        return self.chosen(small, flows, shown)


def upright_sign(matrix: Tensor) -> Tensor:
    """-1 where the first element of (..., 2, 2) matrices is negative, else 1: (..., 1, 1).

    A region's axes have no heads: two detections may differ by a common flip of both, which this undoes.
    """
    return 1 - 2 * (matrix[..., :1, :1] < 0).to(matrix.dtype)


def candidates(
    source: Regions, driving: Regions, grid: Tensor, background: Tensor | None, revert_axis_swap: bool
) -> Tensor:
    """z -> c_s + A_s A_d^-1 (z - c_d) for each region, z -> M z for the background.

    grid        (h, w, 2)
    background  (B, 3, 3): driving to source in homogeneous coordinates; None is the identity
    returns     (B, K+1, h, w, 2): where each candidate looks in the source; candidate 0 is the background
    """
    batch = max(source.value.shape[0], driving.value.shape[0])
    points = grid.expand(batch, driving.value.shape[1], -1, -1, -1)
    offset = points - driving.value[:, :, None, None]
    if source.jacobian is not None and driving.jacobian is not None:
        matrix = product_2x2(source.jacobian, inverse_2x2(driving.jacobian))
        if revert_axis_swap:
            matrix = matrix * upright_sign(matrix)
        offset = apply_2x2(matrix[:, :, None, None], offset)
    still = grid.expand(batch, 1, -1, -1, -1)
    if background is not None:
        moved = apply_2x2(background[:, None, None, :2, :2], still[:, 0]) + background[:, None, None, :2, 2]
        depth = (background[:, None, None, 2, :2] * still[:, 0]).sum(dim=-1) + background[:, None, None, 2, 2]
        still = (moved / depth.unsqueeze(-1)).unsqueeze(1)
    return torch.cat((still, offset + source.value[:, :, None, None]), dim=1)


def evidence(source: Regions, driving: Regions, height: int, width: int, variance: float | None) -> Tensor:
    """Where each region lies in the driving frame against where it lay in the source.

    variance  of the round Gaussians; None draws every region in its own extent
    returns   (B, K+1, height, width): the difference of two Gaussians, 0 for the background
    """

    def shown(pose: Regions) -> Tensor:
        if variance is not None:
            return gaussians(pose.value, height, width, variance)
        assert pose.covariance is not None
        return ellipses(pose.value, pose.covariance, height, width)

    difference = shown(driving) - shown(source)
    return torch.cat((difference.new_zeros(difference.shape[0], 1, height, width), difference), dim=1)

"""First-order motion: around each keypoint the picture moves by a local affine map (eqs. 4-6 of arXiv 2003.00196).

Without Jacobians it is the zero-order model, whose candidates are plain shifts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.dense import DenseMotionNetwork
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import apply_2x2, coordinate_grid, gaussians, inverse_2x2, product_2x2
from fomm_cli.model.types import DenseMotion


class KeypointMotion(DenseMotionNetwork):
    """What keypoints say of how the picture moves, as one flow."""

    def __init__(self, config: FirstOrderConfig) -> None:
        occlusion = config.generator.estimate_occlusion_map
        super().__init__(config.dense_motion, config.num_kp + 1, config.num_channels, config.align_corners, occlusion)
        self.variance = config.dense_motion.kp_variance

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> DenseMotion:
        """The dense motion of the source, which is seen as `down` leaves it: (B or 1, 3, h, w)."""
        height, width = small.shape[2:]
        with torch.autocast(small.device.type, enabled=False):
            flows = candidates(source, driving, coordinate_grid(height, width, like=driving.value))
            heat = evidence(source, driving, height, width, self.variance)
        return self.chosen(small, flows, heat)


def candidates(source: Keypoints, driving: Keypoints, grid: Tensor) -> Tensor:
    """T(z) = p_s + J_s J_d^-1 (z - p_d) for each keypoint (eq. 4), the identity for the background.

    grid     (h, w, 2)
    returns  (B, K+1, h, w, 2): where each candidate looks in the source; candidate 0 is the background
    """
    batch = max(source.value.shape[0], driving.value.shape[0])
    num_kp = driving.value.shape[1]
    points = grid.expand(batch, num_kp, -1, -1, -1)
    if source.jacobian is None or driving.jacobian is None:
        shift = source.value - driving.value
        moved = points + shift[:, :, None, None]
    else:
        matrix = product_2x2(source.jacobian, inverse_2x2(driving.jacobian))  # (B, K, 2, 2)
        offset = points - driving.value[:, :, None, None]
        moved = apply_2x2(matrix[:, :, None, None], offset) + source.value[:, :, None, None]
    return torch.cat((grid.expand(batch, 1, -1, -1, -1), moved), dim=1)


def evidence(source: Keypoints, driving: Keypoints, height: int, width: int, variance: float) -> Tensor:
    """Where each keypoint lies in the driving frame against where it lay in the source (eq. 6).

    returns  (B, K+1, height, width): the difference of two Gaussians, 0 for the background
    """
    difference = gaussians(driving.value, height, width, variance) - gaussians(source.value, height, width, variance)
    return torch.cat((difference.new_zeros(difference.shape[0], 1, height, width), difference), dim=1)

"""First-order motion: around each keypoint the picture moves by a local affine map (eqs. 4-6 of arXiv 2003.00196).

Without Jacobians it is the zero-order model, whose candidates are plain shifts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import (
    apply_2x2,
    gaussians,
    inverse_2x2,
    product_2x2,
)


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

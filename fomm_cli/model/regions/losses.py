"""The loss terms of this family that the house does not have, each named as its weight; values are unweighted."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.geometry import product_2x2
from fomm_cli.model.regions.motion import upright_sign
from fomm_cli.model.regions.pose import Regions


def equivariance_jacobian(inverse: Tensor, expected: Tensor, revert_axis_swap: bool) -> Tensor:
    """Mean |I - W|, W = A_d^-1 (T'(c_t) A_t): axes must turn with the picture, either way round if `revert_axis_swap`.

    inverse    (B, K, 2, 2) inverse axes of the driving frame
    expected   (B, K, 2, 2) T'(c_t) A_t
    """
    carried = product_2x2(inverse, expected)
    if revert_axis_swap:
        carried = carried * upright_sign(carried)
    return (torch.eye(2, dtype=carried.dtype, device=carried.device) - carried).abs().mean()


def stretched(pose: Regions, scale: Tensor) -> Regions:
    """Another body in the same pose: x and y of places and axes multiplied by scale (B, 2). Without extent."""
    return Regions(pose.value * scale[:, None], pose.jacobian * scale[:, None, :, None])


def rebuilt(made: Regions, target: Regions) -> dict[str, Tensor]:
    """The disentanglement network's two terms: mean absolute differences of places and of axes."""
    return {
        "rec_value": (made.value - target.value).abs().mean(),
        "rec_jacobian": (made.jacobian - target.jacobian).abs().mean(),
    }

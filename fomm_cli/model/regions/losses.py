"""The one loss term that this family has for itself; its value is unweighted."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.geometry import product_2x2
from fomm_cli.model.regions.dense import upright_sign


def equivariance_jacobian(inverse: Tensor, expected: Tensor, revert_axis_swap: bool) -> Tensor:
    """Mean |I - W|, W = A_d^-1 (T'(c_t) A_t): axes must turn with the picture, either way round if `revert_axis_swap`.

    inverse    (B, K, 2, 2) inverse axes of the driving frame
    expected   (B, K, 2, 2) T'(c_t) A_t
    """
    carried = product_2x2(inverse, expected)
    if revert_axis_swap:
        carried = carried * upright_sign(carried)
    return (torch.eye(2, dtype=carried.dtype, device=carried.device) - carried).abs().mean()

"""The losses of first-order motion; section 3.3 of Siarohin et al., NeurIPS 2019, as published."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fomm_cli.model.losses import mean_difference, precise, total


def generator_gan(maps: Sequence[Tensor]) -> Tensor:
    """Least-squares term: mean (1 - D(generated))^2, summed over discriminator scales.

    maps     the discriminator's last outputs (B, 1, h, w), one a scale
    """
    return total([(1 - precise(score)).square().mean() for score in maps], maps[0])


def feature_matching(
    generated: Sequence[Sequence[Tensor]], driving: Sequence[Sequence[Tensor]], weights: Sequence[float]
) -> Tensor:
    """Weighted mean absolute difference of the discriminator's features, summed over blocks and scales.

    generated, driving   for each scale the outputs of its blocks
    weights              one a block; further blocks, and the final map, do not count
    """
    terms = []
    for made, true in zip(generated, driving, strict=True):
        for weight, feature, target in zip(weights, made, true, strict=False):
            if weight:
                terms.append(weight * mean_difference(feature, target))
    return total(terms, generated[0][0])


def discriminator_gan(generated: Sequence[Tensor], driving: Sequence[Tensor]) -> Tensor:
    """Least-squares term: mean of (1 - D(driving))^2 + D(generated)^2, summed over discriminator scales."""
    terms = [
        ((1 - precise(true)).square() + precise(made).square()).mean()
        for made, true in zip(generated, driving, strict=True)
    ]
    return total(terms, driving[0])


def equivariance_jacobian(inverse: Tensor, expected: Tensor) -> Tensor:
    """Mean |I - J_d^-1 (T'(p_t) J_t)| (the paper's eq. 12): Jacobians must turn with the picture.

    inverse    (B, K, 2, 2) inverse Jacobians of the driving frame
    expected   (B, K, 2, 2) T'(p_t) J_t
    """
    identity = torch.eye(2, dtype=expected.dtype, device=expected.device)
    return (identity - inverse @ expected).abs().mean()

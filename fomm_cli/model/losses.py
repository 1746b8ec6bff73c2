"""Losses on numbers that any motion model makes, each a float32 scalar at least, whatever the networks computed in.

The paper is Siarohin et al., NeurIPS 2019, section 3.3; the numbers are those of the published training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

FeatureNetwork = Callable[[Tensor], list[Tensor]]
"""Image (B, 3, H, W) -> feature maps, the deepest last."""


TYPICAL_CHANGE = 0.05
"""Mean absolute difference of two frames of a clip, about what a talking head makes: such a pair weighs 1."""


def pair_weights(source: Tensor, driving: Tensor, balance: float) -> Tensor | None:
    """How much each pair counts in the image losses: (TYPICAL_CHANGE / change) ^ balance, change at least 0.01.

    Where only lids and lips move, the difference to be explained is some six times smaller than where the head moves,
    and so is its gradient: a network learns heads and leaves faces. At balance 1 every pair counts by how much of its
    own change is explained. Not in the published model. A pair's weight does not depend on its batch.

    source, driving   (B, 3, H, W) in [0, 1]

    returns           (B,), or None where balance is 0
    """
    if not balance:
        return None
    change = (source - driving).abs().flatten(1).mean(1)
    return (TYPICAL_CHANGE / change.clamp(min=0.01)) ** balance


def reconstruction(generated: Tensor, driving: Tensor, pairs: Tensor | None = None) -> Tensor:
    """Mean absolute pixel difference of two images (B, C, H, W); `pairs` (B,) as of `pair_weights`. Not in the
    published model.
    """
    return mean_difference(generated, driving, pairs)


def perceptual(
    network: FeatureNetwork,
    generated: Sequence[Tensor],
    driving: Sequence[Tensor],
    weights: Sequence[float],
    pairs: Tensor | None = None,
) -> Tensor:
    """Weighted mean absolute difference of features, summed over slices and pyramid scales (the paper's eq. 9).

    generated, driving   image pyramids, a list of (B, 3, H*s, W*s) each
    weights              one a slice
    pairs                (B,) as of `pair_weights`
    """
    terms = []
    for made, true in zip(generated, driving, strict=True):
        with torch.no_grad():
            targets = network(true)
        for weight, feature, target in zip(weights, network(made), targets, strict=True):
            if weight:
                terms.append(weight * mean_difference(feature, target, pairs))
    return total(terms, driving[0])


def equivariance_value(value: Tensor, expected: Tensor) -> Tensor:
    """Mean |p_d - T(p_t)| (the paper's eq. 10): keypoints must move with the picture.

    value      (B, K, 2) keypoints of the driving frame
    expected   (B, K, 2) keypoints of the transformed frame, carried back by the transform
    """
    return (value - expected).abs().mean()


def keypoint_spread(value: Tensor) -> Tensor:
    """Mean distance between two keypoints of a frame, in units of [-1, 1]: a measure of health, not a loss.

    value    (B, K, 2); near 0 all keypoints have collapsed to one place
    """
    count = value.shape[1]
    if count < 2:
        return value.new_zeros(())
    distances = (value[:, :, None] - value[:, None]).norm(dim=-1)
    return distances.sum() / (value.shape[0] * count * (count - 1))


class _MeanDifference(torch.autograd.Function):
    """Mean |a - b| that keeps one tensor for the way back, in the precision the networks computed in.

    The sum is accumulated in float32 at least. On a processor this halves what the largest maps of a step move.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, pairs: Tensor | None) -> Tensor:
        difference = a - b
        ctx.save_for_backward(difference, pairs)
        precise = torch.promote_types(difference.dtype, torch.float32)
        if pairs is None:
            return difference.abs().sum(dtype=precise) / difference.numel()
        each = difference.abs().sum(tuple(range(1, difference.dim())), dtype=precise)
        return each @ pairs.to(precise) / difference.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        difference, pairs = ctx.saved_tensors
        scale = gradients[0] / difference.numel()
        if pairs is not None:
            scale = (scale * pairs).reshape(-1, *[1] * (difference.dim() - 1))
        toward = difference.sign().mul_(scale.to(difference.dtype))
        return toward if ctx.needs_input_grad[0] else None, -toward if ctx.needs_input_grad[1] else None, None


def mean_difference(a: Tensor, b: Tensor, pairs: Tensor | None = None) -> Tensor:
    """Mean |a - b| of two tensors of one shape (B, ...), accumulated in float32 at least.

    pairs   (B,): a factor for each of the batch; all 1 if None
    """
    return _MeanDifference.apply(a, b, pairs)


def precise(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def total(terms: list[Tensor], like: Tensor) -> Tensor:
    """The sum of scalars; of none, a zero where `like` is."""
    if not terms:
        return torch.zeros((), device=like.device, dtype=precise(like).dtype)
    return torch.stack(terms).sum()

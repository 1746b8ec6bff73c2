"""Batch norm over the batch of several processes, for processors: torch's own takes GPU tensors only."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias with the moments of all processes' x together.

    x        (B, C, H, W)
    returns  the normalised x; over all processes: mean (C,), biased variance (C,), values a channel (1,)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        precise = x.to(weight.dtype)
        count = precise.new_tensor([precise.numel() / precise.shape[1]])
        mean = precise.mean(dim=(0, 2, 3))
        spread = (precise - _columns(mean)).square().sum(dim=(0, 2, 3))
        # One exchange: each process's own moments, combined here (Chan, Golub and LeVeque 1979).
        mine = torch.cat((count, mean, spread))
        everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, mine)
        table = torch.stack(everyone)
        counts, means, spreads = table[:, :1], table[:, 1 : 1 + len(mean)], table[:, 1 + len(mean) :]
        total = counts.sum(dim=0)
        mean = (counts * means).sum(dim=0) / total
        variance = (spreads + counts * (means - mean).square()).sum(dim=0) / total
        scale = torch.rsqrt(variance + eps)
        normal = (precise - _columns(mean)) * _columns(scale)
        ctx.save_for_backward(normal, weight, scale, total)
        ctx.dtype = x.dtype
        y = (normal * _columns(weight) + _columns(bias)).to(x.dtype)
        ctx.mark_non_differentiable(mean, variance, total)
        return y, mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        normal, weight, scale, total = ctx.saved_tensors
        gradient = gradients[0].to(weight.dtype)
        for_bias = gradient.sum(dim=(0, 2, 3))
        for_weight = (gradient * normal).sum(dim=(0, 2, 3))
        sums = torch.stack((for_bias, for_weight))
        dist.all_reduce(sums)  # every process's x moved the shared moments
        shift, tilt = sums / total
        for_x = (gradient - _columns(shift) - normal * _columns(tilt)) * _columns(weight * scale)
        return for_x.to(ctx.dtype), for_weight, for_bias, None


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose batch is that of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        y, mean, variance, total = _Normalise.apply(input, self.weight, self.bias, self.eps)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            unbiased = variance * (total / (total - 1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return y


def synchronised(module: nn.Module) -> nn.Module:
    """Turn every batch norm inside `module` into a shared one, its parameters and statistics kept."""
    for norm in module.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.__class__ = SharedBatchNorm
    return module


def _columns(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)

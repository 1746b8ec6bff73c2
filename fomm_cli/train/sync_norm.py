"""Batch norm over the batch of several processes, for processors: torch's own takes GPU tensors only."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias with the moments of all processes' x together.

    Every pass over the maps is one of torch's own batch-norm kernels, which read bf16 and count in float32.

    x        (B, C, H, W) or (B, C)
    returns  the normalised x; over all processes: mean (C,), biased variance (C,), values a channel (1,)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        zero, one = torch.zeros_like(weight), torch.ones_like(weight)
        count = weight.new_tensor([x.numel() / x.shape[1]])
        mean, variance = torch.batch_norm_update_stats(x, zero, one, 0.0)
        # One exchange: each process's own moments, combined here (Chan, Golub and LeVeque 1979).
        mine = torch.cat((count, mean, variance))
        everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, mine)
        table = torch.stack(everyone)
        counts, means, variances = table[:, :1], table[:, 1 : 1 + len(mean)], table[:, 1 + len(mean) :]
        total = counts.sum(dim=0)
        mean = (counts * means).sum(dim=0) / total
        variance = (counts * (variances + (means - mean).square())).sum(dim=0) / total
        ctx.save_for_backward(x, weight, mean, variance, total)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, total)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance, total = ctx.saved_tensors
        eps = ctx.eps
        gradient = gradients[0]
        if x.is_contiguous(memory_format=torch.channels_last):
            gradient = gradient.contiguous(memory_format=torch.channels_last)
        _, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, eps, [False, True, True]
        )
        sums = torch.stack((for_bias, for_weight))
        dist.all_reduce(sums)  # every process's x moved the shared moments
        shift, tilt = sums / total
        # dx = w s (dy - shift - x^ tilt), where s = 1 / sqrt(var + eps), x^ = (x - mean) s: a channel's dx is linear in
        # its dy and x.
        scale = torch.rsqrt(variance + eps)
        of_gradient = weight * scale
        of_x = -of_gradient * scale * tilt
        constant = -of_gradient * shift - of_x * mean
        for_x = _linear(x, of_x, constant, eps).add_(_linear(gradient, of_gradient, torch.zeros_like(weight), eps))
        return for_x, for_weight, for_bias, None


def _linear(x: Tensor, factor: Tensor, constant: Tensor, eps: float) -> Tensor:
    """factor * x + constant for each channel, rounded once: a batch norm of mean 0 and deviation 1."""
    return F.batch_norm(
        x, torch.zeros_like(factor), torch.full_like(factor, 1 - eps), factor, constant, False, 0.0, eps
    )


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, or of vectors `nn.BatchNorm1d`, whose batch is that of all processes."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

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
        if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d):
            norm.__class__ = SharedBatchNorm
    return module

"""Weights rewritten so that the network does the same sums with less work: all in float64, rounded once at the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_PHASES = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The batch norm of eval mode as scale * x + shift, each (C,) in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.detach().double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.detach().double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


def plain(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel (out, in, k, k) and bias (out,) of a convolution, in float64."""
    weight = conv.weight.detach().double()
    bias = weight.new_zeros(weight.shape[0]) if conv.bias is None else conv.bias.detach().double()
    return weight, bias


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution with the batch norm behind it folded in."""
    weight, bias = plain(conv)
    scale, shift = affine(norm)
    return weight * scale[:, None, None, None], bias * scale + shift


def merged(*convs: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of one convolution that computes the outputs of several on the same input, in order."""
    parts = [plain(conv) for conv in convs]
    return torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])


def doubling(weight: Tensor) -> Tensor:
    """Nearest doubling and a 3x3 convolution (padding 1) as one 4x4 transposed convolution (stride 2, padding 1).

    After a nearest doubling the taps of a 3x3 kernel meet each input pixel in pairs: an output row needs only two
    distinct input rows. The pairs summed beforehand leave 4 products an output pixel of 9, borders included.

    weight   (out, in, 3, 3)
    returns  (in, out, 4, 4)
    """
    phases = torch.tensor(_PHASES, dtype=weight.dtype, device=weight.device)
    return torch.einsum("pi,oyij,qj->yopq", phases, weight, phases)


def columns(weight: Tensor) -> Tensor:
    """A k x k kernel with few outputs as a k x 1 kernel with k times as many, to be summed after shifting.

    Output channel `x * out + o` is the part of output o that kernel column x contributes: vector units run full with 21
    channels where 3 would leave most of them empty.

    weight   (out, in, k, k)
    returns  (k * out, in, k, 1)
    """
    return weight.permute(3, 0, 1, 2).reshape(-1, weight.shape[1], weight.shape[2], 1)

"""Convolutions with what follows them in one call, their weights laid out once for the processor at hand.

On a CPU this is oneDNN: weights packed into its blocked layout, ReLU and the residual sum inside the convolution.
PyTorch uses the same operators inside its compiled graphs; where a build lacks them (and on every GPU) the plain
operators do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PACKING = Lock()  # what is packed already cannot be packed again: of threads that share a convolution one does it
_PHASES = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


AnyConv = nn.Conv2d | nn.Conv3d
AnyNorm = nn.BatchNorm2d | nn.BatchNorm3d


def affine(norm: AnyNorm) -> tuple[Tensor, Tensor]:
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


def plain(conv: AnyConv) -> tuple[Tensor, Tensor]:
    """Kernel (out, in, k, k), or (out, in, d, k, k), and bias (out,) of a convolution, in float64."""
    weight = conv.weight.detach().double()
    bias = weight.new_zeros(weight.shape[0]) if conv.bias is None else conv.bias.detach().double()
    return weight, bias


def folded(conv: AnyConv, norm: AnyNorm) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution with the batch norm behind it folded in."""
    weight, bias = plain(conv)
    scale, shift = affine(norm)
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), bias * scale + shift


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


_PACKED_PHASES = 4  # side of the smallest map whose doubling is rewritten, with packed weights

_PLAIN_PHASES = 32  # and without them


def packs(like: Tensor) -> bool:
    """Whether weights of this tensor's device and precision can be packed."""
    if like.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if like.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False  # an x86 processor without AVX-512 computes bf16 convolutions, but has no packed ones
    names = ("_reorder_convolution_weight", "_reorder_convolution_transpose_weight", "_convolution_pointwise")
    return all(hasattr(torch.ops.mkldnn, name) for name in (*names, "_convolution_transpose_pointwise"))


class _Packed:
    """Weights that are laid out for the maps they meet: once, by the first call, whichever thread makes it."""

    weight: Tensor
    packed: bool
    _reorder: str
    _where: tuple[Any, ...]
    _ready = False

    def pack(self, shape: Sequence[int]) -> None:
        """The best layout depends on the size of the map, known with the first frame."""
        if not self.packed or self._ready:
            return
        with _PACKING:
            if not self._ready:
                self.weight = getattr(torch.ops.mkldnn, self._reorder)(self.weight, *self._where, list(shape))
                self._ready = True


class Conv(_Packed):
    """A convolution of stride 1, then optionally a sum with `add`, then optionally ReLU; channels_last in and out.

    weight   (out, in / groups, kh, kw), any precision; rounded once to `dtype`
    padding  (rows, columns)
    """

    _reorder = "_reorder_convolution_weight"

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        like: Tensor,
        relu: bool = False,
        padding: tuple[int, int] | None = None,
        groups: int = 1,
        packed: bool | None = None,
    ) -> None:
        self.weight = weight.to(like).contiguous(memory_format=torch.channels_last)
        self.bias = bias.to(like)
        self.relu = relu
        self.padding = list(padding or (weight.shape[2] // 2, weight.shape[3] // 2))
        self.groups = groups
        self.packed = packed is not False and packs(like)
        self._where = (self.padding, [1, 1], [1, 1], self.groups)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        if not self.packed:
            y = F.conv2d(x, self.weight, self.bias, 1, self.padding, 1, self.groups)
            if add is not None:
                y += add
            return F.relu_(y) if self.relu else y
        self.pack(x.shape)
        ops: Any = torch.ops.mkldnn
        where = self._where
        after = "relu" if self.relu else None
        if add is not None:
            return ops._convolution_pointwise.binary(
                x, add, self.weight, self.bias, *where, "add", 1.0, after, [], None
            )
        return ops._convolution_pointwise(x, self.weight, self.bias, *where, after or "none", [], "")


_LANES = 8  # of AVX2, whose convolutions take half as long again where outputs are no multiple of them


class Head:
    """A convolution with few outputs: (B, C, H, W), channels_last, to (B, outputs, H, W), contiguous, in float32.

    Its outputs are filled up to whole vectors; where that would leave most of them empty, by kernel columns instead:
    see `columns`.

    weight  (out, in, k, k), k odd
    """

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, packed: bool | None = None) -> None:
        self.outputs, taps = weight.shape[0], weight.shape[3]
        pad = taps // 2
        self.taps = taps if _vectors(self.outputs * taps) < 0.7 * taps * _vectors(self.outputs) else 1
        if self.taps > 1:
            weight = columns(weight)
            bias = F.pad(bias, [pad * self.outputs] * 2)  # with the middle column, which is always inside
        more = _LANES * _vectors(len(weight)) - len(weight)
        weight, bias = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, more)), F.pad(bias, (0, more))
        self.conv = Conv(weight, bias, like, padding=(pad, 0 if self.taps > 1 else pad), packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        parts, size, width = self.conv(x).permute(0, 2, 3, 1), self.outputs, x.shape[3]
        if self.taps > 1:
            parts = F.pad(parts, (0, 0, self.taps // 2, self.taps // 2))
        total = parts[:, :, :width, :size].float()
        for tap in range(1, self.taps):
            total += parts[:, :, tap : tap + width, tap * size : (tap + 1) * size]
        return total.permute(0, 3, 1, 2).contiguous()


def _vectors(outputs: int) -> int:
    return -(-outputs // _LANES)


class Doubling:
    """Nearest doubling, 3x3 convolution, ReLU, as two steps: for maps too small to gain from `Phases`."""

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, packed: bool | None = None) -> None:
        self.conv = Conv(weight, bias, like, relu=True, packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Phases(_Packed):
    """The same from the kernel (in, out, 4, 4) of `doubling`: 4 products an output pixel instead of 9."""

    _reorder = "_reorder_convolution_transpose_weight"
    _where = ([1, 1], [0, 0], [2, 2], [1, 1], 1)  # padding, of the output, stride, dilation, groups

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, packed: bool | None = None) -> None:
        self.packed = packed is not False and packs(like)
        self.weight = weight.to(like).contiguous(memory_format=torch.channels_last)
        self.bias = bias.to(like)

    @staticmethod
    def gain(side: int, packed: bool) -> bool:
        """Whether maps of this side (before doubling) gain: the kernel has 16/9 of the weights, which must be read."""
        return side >= (_PACKED_PHASES if packed else _PLAIN_PHASES)

    def __call__(self, x: Tensor) -> Tensor:
        if not self.packed:
            return F.relu_(F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1))
        self.pack(x.shape)
        ops: Any = torch.ops.mkldnn
        return ops._convolution_transpose_pointwise(x, self.weight, self.bias, *self._where, "relu", [], "")


class MeanHead:
    """The means of K groups of a convolution's output channels under K heat maps that each sum to 1, in float32.

    conv  out channels: K groups side by side; square kernel, stride 1
    """

    def __init__(self, conv: nn.Conv2d, groups: int) -> None:
        weight, bias = plain(conv)
        self.taps, self.padding = weight.shape[2], int(conv.padding[0])
        weight = weight.unflatten(0, (groups, -1)).permute(0, 3, 4, 2, 1)  # (K, rows, columns, C, outputs)
        self.weight, self.bias = weight.flatten(1, 3).float(), bias.view(groups, 1, -1).float()

    def __call__(self, x: Tensor, heatmap: Tensor) -> Tensor:
        """x (B, C, H, W), channels_last, and heatmap (B, K, h, w) to (B, K, outputs)."""
        batch, num, height, width = heatmap.shape
        pad = self.padding
        x = F.pad(x.permute(0, 2, 3, 1), (0, 0, pad, pad, pad, pad))
        # shifted along its rows a heat map meets each kernel column; kernel rows are x itself, begun that much later
        shifted = heatmap.new_zeros((batch, self.taps, num, height, x.shape[2]))
        for column in range(self.taps):
            shifted[:, column, ..., column : column + width] = heatmap
        shifted = shifted.view(batch, self.taps * num, -1)
        begun = x.unfold(1, height, 1).permute(0, 4, 2, 1, 3).reshape(batch, shifted.shape[2], -1)  # one product of all
        mean = torch.bmm(shifted, begun).view(batch, self.taps, num, self.taps, -1)  # (B, columns, K, rows, C)
        return torch.baddbmm(self.bias, mean.permute(2, 0, 3, 1, 4).flatten(2), self.weight).transpose(0, 1)


def rows(features: Tensor) -> Tensor:
    """Features (1, C, H, W) as a table (H * W, C), one row a pixel."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).contiguous()


def gather(table: Tensor, size: tuple[int, int], flow: Tensor, weight: Tensor | None, align_corners: bool) -> Tensor:
    """`geometry.warp` with zero padding, times a weight a pixel.

    table    (H * W, C): of `rows`
    size     (H, W)
    flow     (B, h, w, 2): xy in [-1, 1]
    weight   (B, 1, h, w) or None
    returns  (B, C, h, w), channels_last
    """
    height, width = size
    left, right, low_x, high_x = _neighbours(flow[..., 0], width, align_corners)
    top, bottom, low_y, high_y = _neighbours(flow[..., 1], height, align_corners)
    index = torch.stack(
        (top * width + left, top * width + right, bottom * width + left, bottom * width + right), dim=-1
    )
    share = torch.stack((low_y * low_x, low_y * high_x, high_y * low_x, high_y * high_x), dim=-1)
    if weight is not None:
        share = share * weight.permute(0, 2, 3, 1)
    picked = F.embedding_bag(index.view(-1, 4), table, per_sample_weights=share.view(-1, 4).to(table), mode="sum")
    batch, h, w, _ = flow.shape
    return picked.view(batch, h, w, table.shape[1]).permute(0, 3, 1, 2)


def _neighbours(position: Tensor, size: int, align_corners: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two pixels around each position of one axis and their shares; a pixel outside has share 0."""
    pixel = (position + 1) * ((size - 1) / 2) if align_corners else (position + 1) * (size / 2) - 0.5
    pixel = pixel.clamp(-2, size + 1)  # far outside is as good as just outside, and fits into an integer
    floor = pixel.floor()
    high = pixel - floor
    first = floor.to(torch.int32)
    second = first + 1
    low = torch.where((first >= 0) & (first < size), 1 - high, 0)
    high = torch.where((second >= 0) & (second < size), high, 0)
    return first.clamp(0, size - 1), second.clamp(0, size - 1), low, high

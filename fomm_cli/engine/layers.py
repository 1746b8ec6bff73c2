"""Convolutions with what follows them in one call, their weights laid out once for the processor at hand.

On a CPU this is oneDNN: weights packed into its blocked layout, ReLU and the residual sum inside the convolution.
PyTorch uses the same operators inside its compiled graphs; where a build lacks them (and on every GPU) the plain
operators do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_PACKED_PHASES = 4  # side of the smallest map whose doubling is rewritten, with packed weights
_PLAIN_PHASES = 32  # and without them


def packs(device: torch.device) -> bool:
    """Whether weights can be packed for this device."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    names = ("_reorder_convolution_weight", "_reorder_convolution_transpose_weight", "_convolution_pointwise")
    return all(hasattr(torch.ops.mkldnn, name) for name in (*names, "_convolution_transpose_pointwise"))


class Conv:
    """A convolution of stride 1, then optionally a sum with `add`, then optionally ReLU; channels_last in and out.

    weight   (out, in / groups, kh, kw), any precision; rounded once to `dtype`
    padding  (rows, columns)
    """

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
        self.packed = packs(like.device) if packed is None else packed
        self._ready = False

    def pack(self, shape: Sequence[int]) -> None:
        """Lay the weights out for maps of this shape: once, by the first call or before threads share them."""
        if self.packed and not self._ready:
            ops: Any = torch.ops.mkldnn
            where = (self.padding, [1, 1], [1, 1], self.groups)
            self.weight = ops._reorder_convolution_weight(self.weight, *where, list(shape))
            self._ready = True

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        if not self.packed:
            y = F.conv2d(x, self.weight, self.bias, 1, self.padding, 1, self.groups)
            if add is not None:
                y += add
            return F.relu_(y) if self.relu else y
        self.pack(x.shape)  # the best layout depends on the size of the map, known with the first frame
        ops: Any = torch.ops.mkldnn
        where = (self.padding, [1, 1], [1, 1], self.groups)
        after = "relu" if self.relu else None
        if add is not None:
            return ops._convolution_pointwise.binary(
                x, add, self.weight, self.bias, *where, "add", 1.0, after, [], None
            )
        return ops._convolution_pointwise(x, self.weight, self.bias, *where, after or "none", [], "")


class Doubling:
    """Nearest doubling, 3x3 convolution, ReLU, as two steps: for maps too small to gain from `Phases`."""

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, packed: bool | None = None) -> None:
        self.conv = Conv(weight, bias, like, relu=True, packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Phases:
    """The same from the kernel (in, out, 4, 4) of `fold.doubling`: 4 products an output pixel instead of 9."""

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, packed: bool | None = None) -> None:
        self.packed = packs(like.device) if packed is None else packed
        self.weight = weight.to(like).contiguous(memory_format=torch.channels_last)
        self.bias = bias.to(like)
        self._ready = False

    @staticmethod
    def gain(side: int, packed: bool) -> bool:
        """Whether maps of this side (before doubling) gain: the kernel has 16/9 of the weights, which must be read."""
        return side >= (_PACKED_PHASES if packed else _PLAIN_PHASES)

    def __call__(self, x: Tensor) -> Tensor:
        if not self.packed:
            return F.relu_(F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1))
        ops: Any = torch.ops.mkldnn
        where: tuple[Any, ...] = ([1, 1], [0, 0], [2, 2], [1, 1], 1)
        if not self._ready:
            self.weight = ops._reorder_convolution_transpose_weight(self.weight, *where, list(x.shape))
            self._ready = True
        return ops._convolution_transpose_pointwise(x, self.weight, self.bias, *where, "relu", [], "")

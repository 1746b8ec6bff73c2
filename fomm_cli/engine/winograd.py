"""3x3 convolutions with a quarter of the products: F(4x4, 3x3) of Lavin and Gray, arXiv 1509.09308, eq. 8 onwards.

A tile of 4x4 outputs is computed from 6x6 inputs d as A^T [(G g G^T) . (B^T d B)] A: 36 products a channel pair where
the definition has 144. The products are 36 matrix products, which oneDNN runs as one grouped 1x1 convolution; the small
transforms are batched matrix products over strips of 4 rows, whose scratch stays in the processor's cache. In float32
that takes half of the time of the direct convolution and rounds some 6 times coarser, far below an 8-bit level. It is
no slower than the direct one in bf16 either, and far more precise: both precisions use it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.engine import fold
from fomm_cli.engine.layers import packs
from fomm_cli.model.blocks import ResBlock

_BT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
_G = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_AT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
_MIN_CHANNELS = 128  # with fewer the transforms cost what the products save
_MIN_TILES = 64


def gains(channels: int, height: int, width: int) -> bool:
    """Whether a convolution between maps of this shape is quicker this way."""
    tiles = (height // 4) * (width // 4)
    return height % 4 == 0 and width % 4 == 0 and channels >= _MIN_CHANNELS and tiles >= _MIN_TILES


class Scratch:
    """The buffers of one map size, shared by the convolutions of a network, which run one after another.

    Letters of the shapes: t, u tile rows and columns; i, j rows and columns of a 6x6 tile; a, b of a 4x4 one; c
    channels.
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.rows, self.columns, self.channels = height // 4, width // 4, channels
        self.padded = torch.zeros(height + 2, width + 2, channels)
        self.strip = torch.empty(width + 2, 6, channels)
        self.tiles = torch.empty(self.rows, self.columns, 36 * channels)
        self.halved = torch.empty(self.columns, 4, 6 * channels)
        self.output = torch.empty(self.rows, self.columns * 4, 4, channels)

    @property
    def inside(self) -> Tensor:
        """The picture without its border of zeros, (H, W, C)."""
        return self.padded[1:-1, 1:-1]

    def tiled(self, picture: Tensor) -> Tensor:
        """A picture (H, W, C) seen as (t, a, u, b, c)."""
        return picture.unflatten(0, (self.rows, 4)).unflatten(2, (self.columns, 4))


class Winograd:
    """A 3x3 convolution of padding 1, as many channels in as out, float32, on the CPU.

    weight  (C, C, 3, 3) in float64
    bias    (C,) in float64
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        channels = weight.shape[0]
        g = torch.tensor(_G, dtype=torch.float64)
        kernels = torch.einsum("im,ocmn,jn->jioc", g, weight, g)
        self.weight = kernels.reshape(36 * channels, channels, 1, 1).float()
        # the bias joins the products: `constant` is what the output transform turns into ones
        at = torch.tensor(_AT, dtype=torch.float64)
        constant = at.T @ torch.linalg.solve(at @ at.T, torch.ones(4, dtype=torch.float64))
        self.bias = (constant[:, None, None] * constant[None, :, None] * bias).reshape(-1).float()
        self._ready = False

    def __call__(self, scratch: Scratch) -> Tensor:
        """Convolves `scratch.padded`; returns (t, a, u, b, c), valid until the scratch is used again."""
        rows, columns, channels = scratch.rows, scratch.columns, scratch.channels
        width = columns * 4 + 2
        bt_rows, bt_columns = _constant(_BT, width), _constant(_BT, columns)
        for t in range(rows):
            strip = scratch.padded[4 * t : 4 * t + 6].transpose(0, 1)  # (w, i, c)
            torch.bmm(bt_rows, strip, out=scratch.strip)
            overlapping = scratch.strip.as_strided((columns, 6, 6 * channels), (24 * channels, 6 * channels, 1))
            torch.bmm(bt_columns, overlapping, out=scratch.tiles[t].view(columns, 6, 6 * channels))  # (u, j, i c)
        products = self._products(scratch.tiles)
        at_columns, at_rows = _constant(_AT, columns), _constant(_AT, columns * 4)
        for t in range(rows):
            torch.bmm(at_columns, products[t].view(columns, 6, 6 * channels), out=scratch.halved)  # (u, b, i c)
            torch.bmm(at_rows, scratch.halved.view(columns * 4, 6, channels), out=scratch.output[t])  # (u b, a, c)
        return scratch.output.view(rows, columns, 4, 4, channels).permute(0, 3, 1, 2, 4)

    def _products(self, tiles: Tensor) -> Tensor:
        """The 36 matrix products: (t, u, 36 c) to the same."""
        maps = tiles.permute(2, 0, 1).unsqueeze(0)
        if not packs(tiles.device):
            return F.conv2d(maps, self.weight, self.bias, groups=36)[0].permute(1, 2, 0).contiguous()
        ops: Any = torch.ops.mkldnn
        where = ([0, 0], [1, 1], [1, 1], 36)
        if not self._ready:
            weight = self.weight.contiguous(memory_format=torch.channels_last)
            self.weight = ops._reorder_convolution_weight(weight, *where, list(maps.shape))
            self._ready = True
        return ops._convolution_pointwise(maps, self.weight, self.bias, *where, "none", [], "")[0].permute(1, 2, 0)


class WinogradBottleneck:
    """The residual blocks of a generator, whose sum runs through them in float32.

    (B, C, H, W) channels_last float32 to the same, **in place**
    """

    def __init__(self, blocks: nn.Sequential) -> None:
        self.blocks = []
        for block in blocks:
            assert isinstance(block, ResBlock)
            scale, shift = fold.affine(block.norm1)
            first = Winograd(*fold.folded(block.conv1, block.norm2))
            self.blocks.append((scale.float(), shift.float(), first, Winograd(*fold.plain(block.conv2))))
        self._scratch: Scratch | None = None

    def __call__(self, x: Tensor) -> Tensor:
        for picture in x.permute(0, 2, 3, 1):  # one at a time: a picture's tiles fit into the cache, a batch's do not
            scratch = self._of(picture)
            inside, total = scratch.inside, scratch.tiled(picture)
            for scale, shift, first, second in self.blocks:
                torch.addcmul(shift, picture, scale, out=inside).clamp_min_(0)
                torch.clamp_min(first(scratch), 0, out=scratch.tiled(inside))
                total += second(scratch)
        return x

    def _of(self, picture: Tensor) -> Scratch:
        height, width, channels = picture.shape
        if self._scratch is None or self._scratch.inside.shape != picture.shape:
            self._scratch = Scratch(height, width, channels)
        return self._scratch


@cache
def _constant(matrix: tuple[tuple[float, ...], ...], batch: int) -> Tensor:
    return torch.tensor(matrix).expand(batch, -1, -1)

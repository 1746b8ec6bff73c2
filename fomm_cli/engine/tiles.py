"""Convolutions of stride 1 with fewer products, for any map or volume: F(m x m, k x k) as three matrix products.

As `winograd.py` (Lavin and Gray, arXiv 1509.09308), which this takes its matrices from: m x m outputs are computed
from (m + k - 1)^2 inputs d as A^T [(G g G^T) . (B^T d B)] A. There a bottleneck stays in the processor's cache from
block to block; here any shapes go in and out. The slices of a volume are tiled each by itself, the kernel's slices are
summed between the products and A.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import torch
from torch import Tensor

from fomm_cli.engine.winograd import Transforms

_NUMBERS = 2**23  # of the products that are held at a time: enough rows for a matrix product, not much beyond a cache


class Pool(threading.local):
    """Scratch by name, a thread's own, as large as it ever had to be: the system zeroes fresh memory each time."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """float32 of any content; the next `take` of the name overwrites it."""
        count = math.prod(shape)
        if name not in self._buffers or self._buffers[name].numel() < count:
            with torch.inference_mode(False):  # its next user may run outside of it
                self._buffers[name] = torch.empty(count)
        return self._buffers[name][:count].view(shape)


_POOL = Pool()


class Strip(NamedTuple):
    """Tile rows of one picture that are computed at a time: `rows` of them from row `first` on."""

    first: int
    rows: int


class Tiled:
    """A convolution of padding k // 2, then optionally ReLU; float32, on the CPU, channels last in and out.

    weight  (O, C, k, k), or (O, C, d, k, k) for volumes; any precision
    bias    (O,)
    tile    m
    """

    def __init__(self, weight: Tensor, bias: Tensor, tile: int = 4, relu: bool = False) -> None:
        if weight.dim() == 4:
            weight = weight.unsqueeze(2)
        out, channels, self.slices, self.taps, _ = weight.shape
        at, g, bt = Transforms.of(tile, self.taps)
        self.n, self.tile, self.out = len(bt), tile, out
        taps = weight.double().permute(3, 4, 1, 2, 0).reshape(self.taps**2, -1)
        self.kernels = (torch.kron(g, g) @ taps).float().view(self.n**2, channels, self.slices * out)
        self.at, self.bt, self.bias, self.relu = at.float(), bt.float(), bias.float(), relu

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) or (B, C, D, H, W) to the same with O channels."""
        volumes = (x if x.dim() == 5 else x.unsqueeze(2)).permute(0, 2, 3, 4, 1)  # (B, D, H, W, C)
        result = volumes.new_empty((*volumes.shape[:4], self.out))
        for volume, output in zip(volumes, result, strict=True):
            self._convolve(volume, output)
        result = result.permute(0, 4, 1, 2, 3)
        return result if x.dim() == 5 else result.squeeze(2)

    def _convolve(self, volume: Tensor, output: Tensor) -> None:
        depth, height, width, channels = volume.shape
        rows, columns = -(-height // self.tile), -(-width // self.tile)
        edge, deep = self.taps // 2, self.slices // 2
        shape = (depth + 2 * deep, rows * self.tile + 2 * edge, columns * self.tile + 2 * edge, channels)
        padded = _POOL.take("padded", *shape).zero_()
        padded[deep : deep + depth, edge : edge + height, edge : edge + width] = volume
        widest = self.n**2 * shape[0] * columns * max(channels, self.slices * self.out)
        step = max(1, _NUMBERS // widest)
        for first in range(0, rows, step):
            strip = Strip(first, min(step, rows - first))
            self._strip(padded, output, strip, columns)

    def _strip(self, padded: Tensor, output: Tensor, strip: Strip, columns: int) -> None:
        n, m, out = self.n, self.tile, self.out
        slices, _, _, channels = padded.shape
        depth, _, width, _ = output.shape
        tiles = strip.rows * columns
        plane, row, column, _ = padded.stride()
        windows = padded.as_strided(
            (n, n, slices, strip.rows, columns, channels),
            (row, column, plane, m * row, m * column, 1),
            padded.storage_offset() + strip.first * m * row,
        )
        inputs = _POOL.take("a", n, n * slices * tiles * channels)
        inputs.view(windows.shape).copy_(windows)
        half = torch.mm(self.bt, inputs, out=_POOL.take("b", *inputs.shape)).view(n, n, -1)
        inputs = torch.bmm(self.bt.expand(n, n, n), half, out=inputs.view(n, n, -1)).view(n * n, -1, channels)
        products = torch.bmm(inputs, self.kernels, out=_POOL.take("c", n * n, slices * tiles, self.kernels.shape[2]))
        if self.slices > 1:
            parts = products.view(n * n, slices, tiles, self.slices, out)
            total = _POOL.take("a", n * n, depth, tiles, out)
            torch.add(parts[:, :depth, :, 0], parts[:, 1 : 1 + depth, :, 1], out=total)
            for slice_ in range(2, self.slices):
                total += parts[:, slice_ : slice_ + depth, :, slice_]
            products = total
        half = torch.bmm(
            self.at.expand(n, m, n), products.view(n, n, -1), out=_POOL.take("b", n, m, depth * tiles * out)
        )
        done = torch.mm(self.at, half.view(n, -1), out=_POOL.take("c", m, m * depth * tiles * out))
        pixels = done.view(m, m, depth, strip.rows, columns, out).permute(2, 3, 0, 4, 1, 5)
        place = output[:, strip.first * m : (strip.first + strip.rows) * m]
        if place.shape[1:3] == (strip.rows * m, columns * m):
            torch.add(pixels, self.bias, out=place.unflatten(2, (columns, m)).unflatten(1, (strip.rows, m)))
        else:  # the last tiles reach beyond the picture
            whole = pixels.reshape(depth, strip.rows * m, columns * m, out)
            torch.add(whole[:, : place.shape[1], :width], self.bias, out=place)
        if self.relu:
            place.clamp_min_(0)

"""3x3 convolutions with fewer products: F(m x m, 3 x 3) of Lavin and Gray, arXiv 1509.09308.

A tile of m x m outputs is computed from (m + 2) x (m + 2) inputs d as A^T [(G g G^T) . (B^T d B)] A: for m = 4, 36
products a channel pair where the definition has 144. The products are (m + 2)^2 matrix products, which oneDNN runs as
one grouped 1x1 convolution; the small transforms are batched matrix products over strips of m rows, whose scratch
stays in the processor's cache.

All of it is float32, in half of the time of the direct convolution. It rounds some twenty times coarser, far below an
8-bit level, and hundreds of times finer than a direct convolution in bf16, which takes longer: it stands for that one
too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import zip_longest
from math import gcd
from threading import Barrier, Lock
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fomm_cli.engine import layers
from fomm_cli.engine.layers import Conv
from fomm_cli.model.blocks import ResBlock

Part = TypeVar("Part")

_GATHERING = Lock()


def each(function: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """`function(part)` for all parts at once, in inference mode, each with an equal share of torch's threads.

    A single part is the caller's own. A part must not call this again. Memory for much is best allocated beforehand, by
    the caller: glibc keeps 64 MB for any other thread, and zeroes what exceeds that anew each time.

    Raises what a part raises, after all have ended.
    """
    if len(parts) == 1:
        function(parts[0])
        return

    @torch.inference_mode()
    def run(part: Part) -> None:
        function(part)

    with _GATHERING:
        crew = _crew(len(parts), max(1, torch.get_num_threads() // len(parts)))
    futures = [crew.submit(run, part) for part in parts]
    wait(futures)
    for future in futures:
        future.result()


@cache
def _crew(size: int, threads: int) -> ThreadPoolExecutor:
    """So many threads, each of which gives operators so many threads."""
    before = torch.get_num_threads()
    all_here = Barrier(size)

    def begin(_: int) -> None:
        # what is set here counts for the process, until a thread asks; what it is told then counts for that thread
        torch.set_num_threads(threads)
        torch.get_num_threads()
        all_here.wait()

    pool = ThreadPoolExecutor(size, "fomm-crew")
    try:
        list(pool.map(begin, range(size)))
    except BaseException:
        all_here.abort()  # or those who came would wait for ever
        raise
    finally:
        torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crew.cache_clear)  # a fork has no threads but one

_POINTS = {  # of evaluation, by n - 2: those of the larger tiles round least, for what that is worth in simple numbers
    4: (0.0, 1.0, -1.0, 2.0, -2.0),
    6: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5),
    8: (0.0, 0.8, -0.8, 1.25, -1.25, 0.4, -0.4, 2.5, -2.5),
}

_MIN_CHANNELS = 128  # with fewer the transforms cost what the products save

_MIN_PIXELS = 1024

_PIXELS = 8192  # of the pictures a thread takes at a time: enough to be worth reading the weights for


def gains(channels: int, height: int, width: int) -> bool:
    """Whether a convolution between maps of this shape is quicker this way."""
    return channels >= _MIN_CHANNELS and height * width >= _MIN_PIXELS


def best_tile(height: int, width: int, exact: bool = True) -> int:
    """The tile that leaves the fewest products, borders included; 8 only where `exact` does not ask for float32's best.

    A tile of 8 rounds five times coarser than one of 6, and still a hundred times finer than bf16.
    """

    def products(tile: int) -> int:
        return -(-height // tile) * -(-width // tile) * (tile + 2) ** 2

    return min((4, 6) if exact else (4, 6, 8), key=products)


class Transforms(NamedTuple):
    """The matrices of F(m, k), n = m + k - 1: at (m, n), g (n, k), bt (n, n), float64."""

    at: Tensor
    g: Tensor
    bt: Tensor

    @classmethod
    def of(cls, tile: int, taps: int = 3) -> Transforms:
        """By Toom and Cook: a product of polynomials from its values at n - 1 points and at infinity."""
        n = tile + taps - 1
        points = torch.tensor(_POINTS[n - 2], dtype=torch.float64)
        at, g, bt = (torch.zeros(rows, wide, dtype=torch.float64) for rows, wide in ((tile, n), (n, taps), (n, n)))
        for j, point in enumerate(points):
            others = torch.cat((points[:j], points[j + 1 :]))
            at[:, j] = point ** torch.arange(tile)
            g[j] = point ** torch.arange(taps) / (point - others).prod()
            bt[j, :-1] = _polynomial(others)
        at[-1, -1] = g[-1, -1] = 1
        bt[-1] = _polynomial(points)
        return cls(at, g, bt)


class Scratch:
    """One thread's buffers for one map size, shared by the convolutions of a network, which run one after another.

    Letters of the shapes: p pictures; t, u tile rows and columns; i, j rows and columns of a tile of inputs; a, b of
    outputs; c channels. `padded` is the input of a convolution; its borders, and where tiles reach beyond the picture,
    stay zero.
    """

    def __init__(self, pictures: int, height: int, width: int, channels: int, tile: int) -> None:
        self.tile = tile
        rows, columns, n = -(-height // tile), -(-width // tile), tile + 2
        wide, tops = columns * tile, range(0, height, tile)
        pixel = n * channels
        self.padded = torch.zeros(pictures, rows * tile + 2, wide + 2, channels)
        self.strip = torch.empty(wide + 2, n, channels)
        self.tiles = torch.empty(pictures * rows, columns, n * pixel)
        self.halved = torch.empty(columns, tile, pixel)
        self.output = torch.empty(wide, tile, channels)
        # views, made once: making one takes as long as a small product
        self.inside = self.padded[:, 1 : 1 + height, 1 : 1 + width]  # (p, H, W, c)
        self.windows = [picture[top : top + n].transpose(0, 1) for picture in self.padded for top in tops]  # (w, i, c)
        self.overlapping = self.strip.as_strided((columns, n, pixel), (tile * pixel, pixel, 1))  # (u, j, i c)
        self.maps = self.tiles.permute(2, 0, 1).unsqueeze(0)  # (1, j i c, t, u), channels_last
        self.results = [self.output[:width, : height - top].transpose(0, 1) for top in tops] * pictures

    def strips(self, maps: Tensor) -> list[Tensor]:
        """Maps (p, H, W, c) in strips as high as a tile, each (h, W, c); the lowest of a picture may be less high."""
        return [strip for picture in maps for strip in picture.split(self.tile)]


class Winograd:
    """A 3x3 convolution of padding 1, as many channels in as out, float32, on the CPU.

    weight  (C, C, 3, 3) in float64
    bias    (C,) in float64
    """

    def __init__(self, weight: Tensor, bias: Tensor, tile: int = 4) -> None:
        channels, taps = weight.shape[0], (tile + 2) ** 2
        at, g, bt = Transforms.of(tile)
        self.at, self.bt = at.float(), bt.float()
        kernels = torch.einsum("im,ocmn,jn->jioc", g, weight, g).reshape(taps * channels, channels, 1, 1)
        # the bias joins the products: `constant` is what the output transform turns into ones
        constant = at.T @ torch.linalg.solve(at @ at.T, torch.ones(tile, dtype=torch.float64))
        bias = (constant[:, None, None] * constant[None, :, None] * bias).reshape(-1)
        self.products = Conv(kernels, bias, like=self.at, groups=taps)

    def __call__(self, scratch: Scratch) -> Iterator[Tensor]:
        """Convolves `scratch.padded`, which may be overwritten from the first result on.

        Yields (h, W, c), the strips of the result in the order of `Scratch.strips`, each valid until the next: whoever
        consumes a strip finds it in the processor's cache.
        """
        columns, tile, pixel = scratch.halved.shape
        n = tile + 2
        for window, tiles in zip(scratch.windows, scratch.tiles.view(-1, columns, n, pixel), strict=True):
            _multiply(self.bt, window, scratch.strip)  # (w, i, c)
            _multiply(self.bt, scratch.overlapping, tiles)  # (u, j, i c)
        halved = scratch.halved.view(columns * tile, n, -1)
        products = self.products(scratch.maps)[0].permute(1, 2, 0).contiguous()  # (t, u, j i c)
        for result, strip in zip(scratch.results, products.view(-1, columns, n, pixel), strict=True):
            _multiply(self.at, strip, scratch.halved)  # (u, b, i c)
            _multiply(self.at, halved, scratch.output)  # (u b, a, c)
            yield result


class WinogradBottleneck:
    """The residual blocks of a generator, whose sum runs through them in float32.

    Pictures are dealt out to torch's threads where that comes out even; each takes its own through all blocks. For one
    caller at a time.

    (B, C, H, W) channels_last float32 to the same, **in place**
    """

    def __init__(self, blocks: nn.Sequential, tile: int = 4) -> None:
        self.tile = tile
        self.blocks = []
        for block in blocks:
            assert isinstance(block, ResBlock)
            scale, shift = layers.affine(block.norm1)
            first = Winograd(*layers.folded(block.conv1, block.norm2), tile)
            self.blocks.append((scale.float(), shift.float(), first, Winograd(*layers.plain(block.conv2), tile)))
        self._scratches: dict[tuple[int, ...], Scratch] = {}

    def __call__(self, x: Tensor) -> Tensor:
        pictures = x.permute(0, 2, 3, 1)
        count, height, width, _ = pictures.shape
        size = max(1, _PIXELS // (height * width))
        shares = pictures.chunk(gcd(count, torch.get_num_threads()))
        each(
            self._run,
            [[(some, self._scratch(i, some)) for some in share.split(size)] for i, share in enumerate(shares)],
        )
        return x

    def _run(self, share: list[tuple[Tensor, Scratch]]) -> None:
        """A thread's pictures (p, H, W, c) through all blocks, some at a time, in place."""
        for pictures, scratch in share:
            sums, inside = scratch.strips(pictures), scratch.strips(scratch.inside)
            scale, shift, _, _ = self.blocks[0]
            torch.addcmul(shift, pictures, scale, out=scratch.inside).clamp_min_(0)
            for (_, _, first, second), following in zip_longest(self.blocks, self.blocks[1:]):
                for output, after in zip(first(scratch), inside, strict=True):
                    torch.clamp_min(output, 0, out=after)
                for output, total, after in zip(second(scratch), sums, inside, strict=True):
                    total += output
                    if following is not None:
                        scale, shift, _, _ = following
                        torch.addcmul(shift, total, scale, out=after).clamp_min_(0)

    def _scratch(self, share: int, pictures: Tensor) -> Scratch:
        """The buffers of one share's thread for so many pictures."""
        count, height, width, channels = pictures.shape
        key = (share, count, height, width)
        if key not in self._scratches:
            self._scratches[key] = Scratch(count, height, width, channels, self.tile)
        return self._scratches[key]


def _polynomial(roots: Tensor) -> Tensor:
    """Coefficients of the product of (x - root), constant first."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        raised = torch.cat((torch.zeros(1, dtype=torch.float64), coefficients))
        raised[:-1] -= root * coefficients
        coefficients = raised
    return coefficients


def _multiply(matrix: Tensor, batch: Tensor, out: Tensor) -> None:
    """One small matrix with each of a batch: (m, n) times (B, n, c) into (B, m, c).

    On one thread by NumPy: OpenBLAS, which its packages bring, has kernels for matrices as small as these, 1.6 times as
    fast as MKL's.
    """
    if torch.get_num_threads() == 1:
        np.matmul(matrix.numpy(), batch.numpy(), out=out.numpy())
    else:
        torch.bmm(matrix.expand(batch.shape[0], -1, -1), batch, out=out)

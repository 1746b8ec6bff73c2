"""Frames larger than the network's: the source itself at full size, moved by the network's flow.

numpy and Pillow; torch samples where an engine has loaded it. Whatever the size of the picture, work goes by strips of
rows, so that memory beyond the pictures themselves stays small.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomm_cli.media.image import Frame

Map = NDArray[np.float32]

AGREES = 12.0
"""Levels by which the warped source may differ from the network's frame before its detail is held back."""
_STRIP = 2**18  # pixels


class Part(NamedTuple):
    """One frame of `engine.base.Parts`, without the batch axis."""

    frame: Frame
    decoded: Frame | None
    flow: Map
    occlusion: Map | None


class Enlarger:
    """The frames of one source at the size of its picture.

    A network that blends the source into its frame, occlusion x warped source + (1 - occlusion) x decoded picture, does
    so here with the full-size source. Of others the frame is enlarged and what the source lost on its way into the
    network, warped, is added where both agree: exp(-(e / 12)^2), e the difference of the warped small source and the
    frame in levels, mean over RGB and 3 x 3 pixels. Closed lips do not show through an opened mouth.

    picture  (H, W, 3), the source at the size wanted
    small    (h, w, 3), the source as the network sees it
    detail   in [0, 1], how much of the source's own detail to carry along; 0 is the frame enlarged
    """

    def __init__(self, picture: Frame, small: Frame, detail: float = 1.0) -> None:
        self.picture = picture
        self.size = (picture.shape[0], picture.shape[1])
        self.small = small
        larger = self.size[0] >= small.shape[0] and self.size[1] >= small.shape[1] and self.size != small.shape[:2]
        self.detail = detail if larger else 0.0
        self._blurred: Frame | None = None

    def __call__(self, part: Part) -> Frame:
        """The frame (H, W, 3); at the network's own size it is the network's, bit for bit."""
        if not self.detail:
            return resized(part.frame, self.size)
        base = resized(part.frame, self.size)
        decoded = None if part.decoded is None else resized(part.decoded, self.size)
        keep = np.ones(part.flow.shape[:2], np.float32) if part.occlusion is None else part.occlusion
        gate = None if decoded is not None else self._gate(part)
        shift = displacement(part.flow)
        result = np.empty_like(self.picture)
        step = max(1, _STRIP // self.size[1])
        for top in range(0, self.size[0], step):
            rows = slice(top, min(top + step, self.size[0]))
            share = self._enlarged(keep, rows)[..., None]
            x, y = (self._enlarged(shift[..., axis], rows, cubic=True) for axis in (0, 1))
            x *= self.size[1] / part.flow.shape[1]
            y *= self.size[0] / part.flow.shape[0]
            start = base[rows].astype(np.float32)
            if decoded is not None:
                made = decoded[rows].astype(np.float32)
                made += share * (self._warped(self.picture, x, y, rows) - made)
                start += self.detail * (made - start)
            else:
                assert gate is not None
                share *= self.detail * self._enlarged(gate, rows)[..., None]
                start += share * (self._warped(self.picture, x, y, rows) - self._warped(self._soft(), x, y, rows))
            result[rows] = np.clip(np.rint(start), 0, 255)
        return result

    def _soft(self) -> Frame:
        """The picture as it comes back from the network's size."""
        if self._blurred is None:
            self._blurred = resized(self.small, self.size)
        return self._blurred

    def _gate(self, part: Part) -> Map:
        height, width = self.small.shape[:2]
        rows, shift = slice(0, height), displacement(part.flow)
        x = enlarge(shift[..., 0], (height, width), rows, cubic=True) * np.float32(width / shift.shape[1])
        y = enlarge(shift[..., 1], (height, width), rows, cubic=True) * np.float32(height / shift.shape[0])
        apart = np.abs(self._warped(self.small, x, y, rows) - part.frame).mean(axis=2)
        padded = np.pad(apart, 1, mode="edge")
        apart = sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
        return np.exp(-np.square(apart / AGREES)).astype(np.float32)

    def _enlarged(self, values: Map, rows: slice, cubic: bool = False) -> Map:
        return enlarge(values, self.size, rows, cubic)

    def _warped(self, picture: Frame, x: Map, y: Map, rows: slice) -> Map:
        """The picture at rows moved by (x, y) pixels; of it only what is looked at is turned into numbers."""
        height, width = picture.shape[:2]
        down = np.clip(np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + y, 0, height - 1)
        across = np.clip(np.arange(width, dtype=np.float32) + x, 0, width - 1)
        first, last = int(down.min()), min(int(down.max()) + 2, height)
        return sampled(picture[first:last], across, down - first)


def displacement(flow: Map) -> Map:
    """How far from itself each place of a flow (h, w, 2) looks, in cells of the flow: nothing for the identity.

    A flow enlarged as it is would lose half a cell at its edges; its displacement does not.
    """
    height, width = flow.shape[:2]
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    away = [(flow[..., 0] - x) * ((width - 1) / 2), (flow[..., 1] - y[:, None]) * ((height - 1) / 2)]
    return np.stack(away, axis=-1).astype(np.float32)


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """Bicubic; the frame itself where it fits."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BICUBIC))


def enlarge(values: Map, size: tuple[int, int], rows: slice, cubic: bool = False) -> Map:
    """These rows of a map (h, w) enlarged to `size`, bilinear or bicubic; cells are areas, as in `resized`."""
    down, across = weights(size[0], values.shape[0], cubic), weights(size[1], values.shape[1], cubic)
    return ((down[rows] @ values) @ across.T).astype(np.float32, copy=False)


@cache
def weights(count: int, cells: int, cubic: bool) -> Map:
    """(count, cells): each of `count` values as a mixture of `cells`; Keys' kernel with a = -1/2, or linear."""
    at = (np.arange(count)[:, None] + 0.5) * (cells / count) - 0.5
    away = np.abs(at - np.arange(cells))
    if cubic:
        near = (1.5 * away - 2.5) * away**2 + 1
        far = ((-0.5 * away + 2.5) * away - 4) * away + 2
        kernel = np.where(away < 1, near, np.where(away < 2, far, 0))
    else:
        kernel = np.clip(1 - away, 0, 1)
    return (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)


def sampled(picture: Frame, x: Map, y: Map) -> Map:
    """The picture (H, W, 3) at positions (h, w) inside it, in pixels, bilinear: (h, w, 3) float32."""
    height, width = picture.shape[:2]
    if "torch" in sys.modules and min(height, width) > 1:
        import torch

        from fomm_cli.model.geometry import warp

        planes = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float().contiguous()
        grid = np.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], axis=-1)
        with torch.inference_mode():
            return warp(planes, torch.from_numpy(grid)[None], True, "border")[0].permute(1, 2, 0).numpy()
    left, top = np.minimum(x.astype(np.intp), max(width - 2, 0)), np.minimum(y.astype(np.intp), max(height - 2, 0))
    across, down = (x - left)[..., None], (y - top)[..., None]
    flat = picture.reshape(-1, 3).astype(np.float32)
    corner, right, below = top * width + left, min(width - 1, 1), width * min(height - 1, 1)
    upper = flat[corner] * (1 - across) + flat[corner + right] * across
    lower = flat[corner + below] * (1 - across) + flat[corner + below + right] * across
    return upper * (1 - down) + lower * down

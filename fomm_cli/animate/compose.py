"""Frames of any size: the source itself at full size, moved by the network's flow.

numpy and Pillow; torch samples where an engine has loaded it. Whatever the size of the picture, work goes by strips of
rows, so that memory beyond the pictures themselves stays small.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomm_cli.boxes import Box
from fomm_cli.media.image import Frame

Map = NDArray[np.float32]

Look = Callable[[Map, Map], Map]
"""A picture at positions x and y (h, w), in pixels from the centre of its first one: (h, w, 3) float32."""

AGREES = 18.0
"""Levels by which the network's frame may differ from its frame at rest, moved, before the source is held back."""
_STRIP = 2**18  # pixels
_KEPT = 2**23  # pixels of a picture that is kept as numbers; of a larger one what is looked at is made anew


class Part(NamedTuple):
    """One frame of `engine.base.Parts`, without the batch axis; the frame alone where an engine gives no more."""

    frame: Frame
    decoded: Frame | None = None
    flow: Map | None = None
    occlusion: Map | None = None


class Enlarger:
    """Frames of a part of a picture at any size, made of the picture itself wherever the network shows it.

    With S the picture moved by the flow, P the network's frame, Q its frame at rest (in the source's own pose) moved by
    the same flow, D the generator's own picture, o the occlusion, o' that at rest:

        agreement  g = exp(-(|P - Q| / 18)^2) min(1, o / o'), the difference in levels, mean over RGB and 3 x 3 pixels
        networks that blend the source in, P = o S + (1 - o) D:   D + (o + (1 - o) g) (S - D)
        others:                                                   P + g (S - Q)

    Closed lips do not show through an opened mouth, and at rest the frame is the picture itself. Measured on drawings
    with known movements, this was nearer to the truth than blending by occlusion alone, than a gate by the picture
    instead of the frame at rest, and than the network's frame enlarged (docs/animate.md).

    picture  (H, W, 3 or 4): what is looked at, or a `looker` at it
    rest     the network's frame of the source in its own pose
    size     (h, w) that the part is enlarged to
    place    where its left-top corner lies in the picture, (left, top)
    window   what is made of it, in its own pixels; None = all
    clear    whether the picture has transparency, a fourth channel, which moves with it
    detail   in [0, 1], how much of the picture to carry along; 0 is the frame enlarged
    """

    def __init__(
        self,
        picture: Frame | Look,
        rest: Part,
        size: tuple[int, int],
        place: tuple[int, int] = (0, 0),
        window: Box | None = None,
        detail: float = 1.0,
        clear: bool = False,
    ) -> None:
        self.rest, self.size, self.place, self.detail = rest, size, place, detail
        self.window = window or Box(0, 0, size[1], size[0])
        self.clear = clear
        self._look = looker(picture) if isinstance(picture, np.ndarray) else picture
        self._look_at_rest = looker(rest.frame)

    def __call__(self, part: Part) -> Frame:
        """The window of the frame, rounded."""
        return np.concatenate([rounded(values) for _, values in self.strips(part)])

    def strips(self, part: Part) -> Iterator[tuple[slice, Map]]:
        """The same from top to bottom: rows of the window, and their float32 (rows, width, 3 or 4) in levels."""
        share, shift = (None, None) if part.flow is None or not (self.detail or self.clear) else self._guide(part)
        moved = None if share is None or part.decoded is not None else self._moved(part)
        step = max(1, _STRIP // self.window.width)
        for top in range(0, self.window.height, step):
            rows = slice(top, min(top + step, self.window.height))
            if share is None or shift is None:
                yield rows, self._enlarged(part.frame, rows)
                continue
            seen = self._seen(shift, rows)
            colours = seen[..., :3]
            under = self._enlarged(part.frame if part.decoded is None else part.decoded, rows)
            colours -= under if moved is None else self._enlarged(moved, rows)
            colours *= self._map(share, rows)[..., None]
            colours += under
            if self.detail != 1:
                plain = self._enlarged(part.frame, rows)
                colours[...] = plain + np.float32(self.detail) * (colours - plain)
            yield rows, seen

    def _guide(self, part: Part) -> tuple[Map, Map]:
        """How much of the picture to show, (h, w) of the network's frame, and the displacement of the flow."""
        assert part.flow is not None
        size = (part.frame.shape[0], part.frame.shape[1])
        apart = np.abs(self._moved(part).astype(np.float32) - part.frame).mean(axis=2)
        padded = np.pad(apart, 1, mode="edge")
        apart = sum(padded[i : i + size[0], j : j + size[1]] for i in range(3) for j in range(3)) / 9
        share = np.exp(-np.square(apart / AGREES))
        if part.occlusion is not None and self.rest.occlusion is not None:
            keep = whole(part.occlusion, size)
            share *= np.minimum(1, keep / np.maximum(whole(self.rest.occlusion, size), 1e-3))
            if part.decoded is not None:
                share = keep + (1 - keep) * share
        return share.astype(np.float32, copy=False), displacement(part.flow)

    def _moved(self, part: Part) -> Frame:
        """The frame at rest, moved by the flow, in the network's size."""
        assert part.flow is not None
        height, width = part.frame.shape[:2]
        shift = displacement(part.flow)
        x = whole(shift[..., 0], (height, width), cubic=True) * np.float32(width / shift.shape[1])
        y = whole(shift[..., 1], (height, width), cubic=True) * np.float32(height / shift.shape[0])
        x += np.arange(width, dtype=np.float32)
        y += np.arange(height, dtype=np.float32)[:, None]
        return rounded(self._look_at_rest(x, y))

    def _seen(self, shift: Map, rows: slice) -> Map:
        """The picture, moved, at rows of the window."""
        x = self._map(shift[..., 0], rows, cubic=True) * np.float32(self.size[1] / shift.shape[1])
        y = self._map(shift[..., 1], rows, cubic=True) * np.float32(self.size[0] / shift.shape[0])
        left, top = self.place[0] + self.window.left, self.place[1] + self.window.top
        x += np.arange(left, left + self.window.width, dtype=np.float32)
        y += np.arange(top + rows.start, top + rows.stop, dtype=np.float32)[:, None]
        return self._look(x, y)

    def _map(self, values: Map, rows: slice, cubic: bool = False) -> Map:
        top, left = self.window.top, self.window.left
        span = slice(top + rows.start, top + rows.stop), slice(left, left + self.window.width)
        return enlarge(values, self.size, span, cubic)

    def _enlarged(self, frame: Frame, rows: slice) -> Map:
        """Rows of the window of a frame that is enlarged, or made smaller."""
        x, y = frame.shape[1] / self.size[1], frame.shape[0] / self.size[0]
        left, top = self.window.left, self.window.top + rows.start
        count = rows.stop - rows.start
        box = (left * x, top * y, (left + self.window.width) * x, min((top + count) * y, frame.shape[0]))
        made = Image.fromarray(frame).resize((self.window.width, count), Image.Resampling.BICUBIC, box=box)
        return np.asarray(made, dtype=np.float32)


def rounded(values: Map) -> Frame:
    """Levels as bytes."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


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


def enlarge(values: Map, size: tuple[int, int], span: tuple[slice, slice], cubic: bool = False) -> Map:
    """Rows and columns of a map (h, w) enlarged to `size`, bilinear or bicubic; cells are areas, as in `resized`."""
    down, across = weights(size[0], values.shape[0], cubic), weights(size[1], values.shape[1], cubic)
    return ((down[span[0]] @ values) @ across[span[1]].T).astype(np.float32, copy=False)


def whole(values: Map, size: tuple[int, int], cubic: bool = False) -> Map:
    """All of it."""
    return values if values.shape == size else enlarge(values, size, (slice(None), slice(None)), cubic)


@lru_cache(maxsize=64)
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


def looker(picture: NDArray[np.uint8]) -> Look:
    """Looks at a picture (H, W, C) bilinearly, with torch where that is loaded; beyond its edges they go on.

    Pictures that are small enough to be kept so are looked at in twice as many pixels: what lies between two pixels is
    no longer their mean, which would blur whatever moves by fractions of one (docs/animate.md has the numbers).
    """
    prepared: Callable[[NDArray[np.uint8]], Any]
    prepared, look = (_planes, _in_planes) if "torch" in sys.modules else (_packed, _in_packed)
    height, width = picture.shape[:2]
    if 4 * height * width <= _KEPT:
        twice = prepared(doubled(doubled(picture, 0), 1))
        return lambda x, y: look(twice, 2 * np.clip(x, 0, width - 1), 2 * np.clip(y, 0, height - 1))
    if height * width <= _KEPT:
        kept = prepared(picture)
        return lambda x, y: look(kept, x, y)

    def strip(x: Map, y: Map) -> Map:
        (left, right), (top, bottom) = _reach(x, width), _reach(y, height)
        return look(prepared(picture[top:bottom, left:right]), x - left, y - top)

    return strip


def doubled(picture: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Along an axis: the pixels as they are and, between any two of them, Keys' cubic of the nearest four."""
    along = np.moveaxis(picture, axis, 0)
    held = np.concatenate([along[:1], along, along[-1:]]).astype(np.int16)
    between = (9 * (held[1:-2] + held[2:-1]) - held[:-3] - held[3:] + 8) >> 4
    twice = np.empty((2 * len(along) - 1, *along.shape[1:]), np.uint8)
    twice[::2], twice[1::2] = along, np.clip(between, 0, 255)
    return np.moveaxis(twice, 0, axis)


def _reach(at: Map, count: int) -> tuple[int, int]:
    """The pixels, of so many, that positions lie between: at least two."""
    first = int(np.clip(np.floor(at.min()), 0, count - 2))
    return first, int(np.clip(np.ceil(at.max()), first + 1, count - 1)) + 1


def _planes(picture: NDArray[np.uint8]) -> Any:
    """(1, C, H, W) in torch's own numbers."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float()


def _in_planes(planes: Any, x: Map, y: Map) -> Map:
    import torch

    from fomm_cli.model.geometry import warp

    grid = np.empty((1, *x.shape, 2), np.float32)
    np.multiply(x, 2 / (planes.shape[3] - 1), out=grid[0, ..., 0])
    np.multiply(y, 2 / (planes.shape[2] - 1), out=grid[0, ..., 1])
    grid -= 1
    with torch.inference_mode():
        return warp(planes, torch.from_numpy(grid), True, "border")[0].permute(1, 2, 0).contiguous().numpy()


class _Packed(NamedTuple):
    """A picture whose pixels are numbers of 32 bits, (H W,): one look-up fetches a pixel."""

    pixels: NDArray[np.uint32]
    size: tuple[int, int, int]


def _packed(picture: NDArray[np.uint8]) -> _Packed:
    height, width, channels = picture.shape
    four = np.zeros((height, width, 4), np.uint8)
    four[..., :channels] = picture
    return _Packed(four.view(np.uint32).ravel(), (height, width, channels))


def _in_packed(packed: _Packed, x: Map, y: Map) -> Map:
    height, width, channels = packed.size
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.minimum(x.astype(np.int32), width - 2), np.minimum(y.astype(np.int32), height - 2)
    across, down = x - left.astype(np.float32), y - top.astype(np.float32)
    corner = top.astype(np.intp) * width + left
    seen = np.zeros((*x.shape, 4), np.float32)
    for below, high in ((0, 1 - down), (width, down)):
        for right, wide in ((0, 1 - across), (1, across)):
            pixels = packed.pixels.take(corner + (below + right)).view(np.uint8)
            seen += pixels.reshape(seen.shape) * (high * wide)[..., None]
    return seen[..., :channels]

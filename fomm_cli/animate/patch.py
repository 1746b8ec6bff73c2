"""One part of a picture on its way back into it: what is held at its border, and how it fades into its surroundings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.animate.compose import Enlarger, Look, Map, Part
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import PIN, Paste
from fomm_cli.boxes import Box, overlap
from fomm_cli.media import affine

GAIN, OFFSET = 0.1, 8.0
"""How far colours are matched at most: contrast, and levels."""

_SAME: tuple[Map, Map] = np.ones(3, np.float32), np.zeros(3, np.float32)

Sides = tuple[bool, bool, bool, bool]
"""left, top, right, bottom."""


class Patch:
    """A scene whose frames are put back where it was cut out.

    window  what of the picture it reaches
    sides   those at which there is something to match: not where the picture ends
    pin     share of the part's side over which movement dies away towards them; feather: over which it fades
    """

    def __init__(self, scene: Scene, paste: Paste, look: Look) -> None:
        self.scene, self._look, self._colour = scene, look, paste.colour_match
        self._colours: tuple[Map, Map] | None = None
        self._enlarger: Enlarger | None = None
        self._share: Map | None = None
        self.pin, self.feather = PIN if paste.pin is None else paste.pin, paste.feather
        height, width = scene.picture.shape[:2]
        box, engine = scene.box, scene.runner.engine
        left, top, right, bottom = (int(edge) for edge in box.edges)
        self.sides: Sides = (True,) * 4 if scene.turned else (left > 0, top > 0, right < width, bottom < height)
        scene.needs_rest = True
        self._paste: affine.Paste | None = None
        if scene.turned:
            mask = fade(engine.output_size, self.sides, paste.feather)
            self._paste = affine.Paste(scene.matrix, np.minimum.outer(*mask), (height, width))
            self.window = self._paste.box
            return
        if self.pin and engine.motion_size is not None:
            scene.taper = np.minimum.outer(*fade(engine.motion_size, self.sides, self.pin))
        x, y = max(left, 0), max(top, 0)
        self.window = Box(x, y, min(right, width) - x, min(bottom, height) - y)
        down, across = fade((box.height, box.width), self.sides, paste.feather)
        self._down = down[y - top : y - top + self.window.height]
        self._across = across[x - left : x - left + self.window.width]

    @property
    def rows(self) -> slice:
        return slice(self.window.top, self.window.top + self.window.height)

    @property
    def columns(self) -> slice:
        return slice(self.window.left, self.window.left + self.window.width)

    def weight(self, rows: slice = slice(None)) -> Map:
        """How much of what is drawn to show, (h, w) of the window's rows."""
        if self._share is not None:
            return self._share[rows]
        if self._paste is not None:
            return self._paste.weight[rows, :, 0]
        return np.minimum.outer(self._down[rows], self._across)

    def part_from(self, others: Sequence[Patch]) -> None:
        """Keep to its own side where the windows of others overlap: there it stands still and fades as at a border.

        A place belongs to the part in whose box it lies deepest, in shares of the box.
        """
        near = [other for other in others if overlap(self.window.edges, other.window.edges) > 0]
        if not near:
            return
        taper, box = self.scene.taper, self.scene.box
        x, y = np.arange(self.columns.start, self.columns.stop), np.arange(self.rows.start, self.rows.stop)
        self._share = np.minimum(self.weight(), self._ahead(near, x, y, self.feather))
        if taper is not None:
            x = box.left + np.linspace(0, box.width - 1, taper.shape[1])
            y = box.top + np.linspace(0, box.height - 1, taper.shape[0])
            self.scene.taper = np.minimum(taper, self._ahead(near, x, y, self.pin))

    def _ahead(self, others: Sequence[Patch], x: NDArray[Any], y: NDArray[Any], width: float) -> Map:
        """0 where another part's box lies as deep, 1 where its own lies deeper by `width`."""
        lead = self.depth(x, y) - np.max([other.depth(x, y) for other in others], axis=0)
        return smooth(lead / width if width else np.sign(lead))

    def depth(self, x: NDArray[Any], y: NDArray[Any]) -> Map:
        """How far from its held sides columns x and rows y of the picture are, in shares of its shorter side, at most
        half; 0 outside."""
        box = self.scene.box
        left, top, right, bottom = (np.inf if not held else 0.0 for held in self.sides)
        across = np.minimum(x - box.left + left, box.left + box.width - 1 - x + right)
        down = np.minimum(y - box.top + top, box.top + box.height - 1 - y + bottom)
        inside = (x >= box.left) & (x < box.left + box.width), (y >= box.top) & (y < box.top + box.height)
        across, down = np.where(inside[0], across, 0), np.where(inside[1], down, 0)
        return np.clip(np.minimum.outer(down, across) / (min(box.width, box.height) - 1), 0, 0.5).astype(np.float32)

    def strips(self, part: Part) -> Iterator[tuple[slice, Map, Map]]:
        """What is drawn, from top to bottom: rows of the window, their levels (h, w, 3) and weight (h, w)."""
        if self._colours is None:
            self._colours = self._matched() if self._colour == "border" else _SAME
        gain, offset = self._colours
        plain = np.allclose(gain, 1, atol=1e-3) and np.abs(offset).max() < 0.05
        for rows, values in self._drawn(part):
            if not plain:
                values[..., :3] = values[..., :3] * gain + offset
            yield rows, values, self.weight(rows)

    def _drawn(self, part: Part) -> Iterator[tuple[slice, Map]]:
        if self._paste is not None:
            yield slice(0, self.window.height), self._paste.sampled(part.frame)
            return
        if self._enlarger is None:
            assert self.scene.rest is not None
            box = self.scene.box
            inside = Box(self.window.left - box.left, self.window.top - box.top, self.window.width, self.window.height)
            self._enlarger = Enlarger(
                self._look,
                self.scene.rest,
                (box.height, box.width),
                (box.left, box.top),
                inside,
                self.scene.detail,
                self.scene.alpha is not None,
            )
        yield from self._enlarger.strips(part)

    def _matched(self) -> tuple[Map, Map]:
        """Gain and offset of each channel that give the part at rest the mean and the deviation of the picture where
        the two fade into each other."""
        assert self.scene.rest is not None
        ring = np.zeros(1)
        sums = np.zeros((2, 2, 3))
        for rows, values in self._drawn(self.scene.rest):
            weight = self.weight(rows)
            fading = (4 * weight * (1 - weight))[..., None].astype(np.float64)
            ring += fading.sum()
            picture = self.scene.picture[self.rows, self.columns][rows]
            for place, levels in enumerate((values[..., :3].astype(np.float64), picture.astype(np.float64))):
                sums[place] += [(fading * levels).sum(axis=(0, 1)), (fading * levels**2).sum(axis=(0, 1))]
        if ring[0] < 1:
            return _SAME
        drawn, there = sums[:, 0] / ring
        spread = np.sqrt(np.maximum(sums[:, 1] / ring - np.square([drawn, there]), 0))
        gain = np.clip((spread[1] + 1) / (spread[0] + 1), 1 - GAIN, 1 + GAIN)  # flat borders have no contrast to match
        offset = drawn * (1 - gain) + np.clip(there - drawn, -OFFSET, OFFSET)
        return gain.astype(np.float32), offset.astype(np.float32)


def fade(size: tuple[int, int], sides: Sides, share: float) -> tuple[Map, Map]:
    """From 0 at the sides to 1 at `share` of the shorter side from them: down (H,) and across (W,).

    Their minimum is smoothstep of the distance to the nearest of these sides, since smoothstep rises.
    """
    width = share * (min(size) - 1)
    left, top, right, bottom = sides

    def ramp(count: int, first: bool, last: bool) -> Map:
        at = np.arange(count, dtype=np.float32)
        away = np.full(count, np.inf)
        for held, distance in ((first, at), (last, at[::-1])):
            away = np.minimum(away, distance) if held else away
        return smooth(away / width) if width > 0 else np.ones(count, np.float32)

    return ramp(size[0], top, bottom), ramp(size[1], left, right)


def smooth(share: NDArray[Any]) -> Map:
    """Smoothstep: from 0 to 1 without a kink at either end."""
    t = np.clip(share, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)

"""What the model sees, as pictures: keypoints, flow, occlusion, and sheets. Pictures are uint8 RGB (H, W, 3)."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

_FINE = 4
"""Shapes are drawn this many times larger and scaled down, which smooths their edges."""


def colour(index: int) -> tuple[int, int, int]:
    """The colour of keypoint `index`: the golden angle keeps neighbours in number far apart in hue, for any count."""
    hue = index * 0.618034 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (index % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def keypoints(image: Picture, value: Any, jacobian: Any | None = None) -> Picture:
    """`image` with a numbered colour per keypoint.

    value     (K, 2), xy in [-1, 1], -1 and 1 the centres of the corner pixels; points outside are left out
    jacobian  (K, 2, 2): where the reference axes go, drawn as two strokes
    """
    height, width = image.shape[:2]
    radius = max(1.5, min(height, width) / 64)
    layer = Image.new("RGBA", (width * _FINE, height * _FINE))
    pen = ImageDraw.Draw(layer)
    points = (np.asarray(value, dtype=np.float64) + 1) / 2 * (width - 1, height - 1) + 0.5
    for index, (x, y) in enumerate(points * _FINE):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        ink = colour(index)
        if jacobian is not None:
            for axis in np.asarray(jacobian, dtype=np.float64)[index].T:
                # Long strokes tell nothing more, and a wild Jacobian would cover the picture.
                step = axis * min(1.0, 3 / max(float(np.hypot(*axis)), 1e-9)) * 3 * radius * _FINE
                pen.line((x, y, x + step[0], y + step[1]), fill=(*ink, 160), width=max(1, round(radius * _FINE / 2)))
        for reach, fill in ((radius + max(1.0, radius / 4), (0, 0, 0)), (radius, ink)):
            r = reach * _FINE
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(*fill, 255))
    return _over(image, layer)


def _over(image: Picture, layer: Image.Image) -> Picture:
    """`layer`, drawn fine, over `image`; averaged with its opacity, so that no black seeps in at the edges."""
    height, width = image.shape[:2]
    fine = np.asarray(layer, dtype=np.float32).reshape(height, _FINE, width, _FINE, 4)
    opacity = fine[..., 3:] / 255
    ink = (fine[..., :3] * opacity).mean(axis=(1, 3))
    cover = opacity.mean(axis=(1, 3))
    return np.rint(image * (1 - cover) + ink).clip(0, 255).astype(np.uint8)


def flow(flow: Any, size: tuple[int, int] | None = None, reach: float = 0.5) -> Picture:
    """Where each pixel looks, as colour: hue the direction, strength the distance; white looks at itself.

    flow   (h, w, 2): for every output pixel the point of the source to look at, xy in [-1, 1]
    size   (H, W) of the picture; None = (h, w)
    reach  the distance, in units of [-1, 1], at which the colour is full
    """
    field = np.asarray(flow, dtype=np.float32)
    height, width = field.shape[:2]
    columns, rows = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    shift = field - np.stack([columns, rows], axis=-1)
    hue = np.arctan2(shift[..., 1], shift[..., 0]) / (2 * np.pi) % 1
    strength = np.clip(np.hypot(shift[..., 0], shift[..., 1]) / reach, 0, 1)
    hsv = np.stack([hue * 255, strength * 255, np.full_like(hue, 255)], axis=-1)
    picture = Image.fromarray(np.rint(hsv).astype(np.uint8), "HSV").convert("RGB")
    return _sized(np.asarray(picture), size)


def occlusion(occlusion: Any, size: tuple[int, int] | None = None) -> Picture:
    """White where the source shows what is needed, black where the network must invent.

    occlusion  (h, w) or (1, h, w), in [0, 1]
    """
    grey = np.rint(np.clip(np.asarray(occlusion, dtype=np.float32), 0, 1) * 255).astype(np.uint8)
    grey = grey.reshape(grey.shape[-2:])
    return _sized(np.repeat(grey[..., None], 3, axis=-1), size)


def _sized(picture: Picture, size: tuple[int, int] | None) -> Picture:
    if size is None or picture.shape[:2] == size:
        return picture
    return np.array(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR), dtype=np.uint8)


def row(pictures: Sequence[Picture], gap: int = 0) -> Picture:
    """Pictures of one height side by side, `gap` white pixels between them."""
    height = pictures[0].shape[0]
    space = np.full((height, gap, 3), 255, dtype=np.uint8)
    parts: list[Picture] = []
    for index, picture in enumerate(pictures):
        parts += [space, picture] if index and gap else [picture]
    return np.concatenate(parts, axis=1)


def sheet(
    rows: Sequence[Sequence[Picture | None]],
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    gap: int = 4,
    text: int = 12,
) -> Picture:
    """A table of pictures, such as source, driving and result for several clips.

    rows     pictures of any size, row by row, each centred in its cell; None leaves the cell empty
    columns  headings; labels  one for each row, at its left; gap, text  pixels
    """
    cells = [list(line) for line in rows]
    count = max((len(line) for line in cells), default=0)
    if not count:
        raise ValueError("a sheet needs at least one picture")
    shown = [[line[i] for line in cells if i < len(line)] for i in range(count)]
    widths = [max((p.shape[1] for p in column if p is not None), default=text) for column in shown]
    heights = [max((p.shape[0] for p in line if p is not None), default=text) for line in cells]
    font: Any = ImageFont.load_default(text)
    left = gap + (max(math.ceil(font.getlength(label)) for label in labels) + gap if labels else 0)
    top = gap + (round(text * 1.5) if columns else 0)
    width = left + sum(widths) + gap * count
    height = top + sum(heights) + gap * len(cells)
    page = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    for i, heading in enumerate(columns[:count]):
        pen.text((left + sum(widths[:i]) + gap * i, gap // 2), heading, fill="black", font=font)
    y = top
    for r, line in enumerate(cells):
        if r < len(labels):
            pen.text((gap, y + heights[r] // 2 - text // 2), labels[r], fill="black", font=font)
        x = left
        for i, picture in enumerate(line):
            if picture is not None:
                corner = (x + (widths[i] - picture.shape[1]) // 2, y + (heights[r] - picture.shape[0]) // 2)
                page.paste(Image.fromarray(np.ascontiguousarray(picture)), corner)
            x += widths[i] + gap
        y += heights[r] + gap
    return np.array(page, dtype=np.uint8)

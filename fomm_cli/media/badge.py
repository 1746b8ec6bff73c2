"""A visible mark that a picture was made by a network: "AI" in a corner of every frame."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fomm_cli.media.image import Frame

CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"]
SHARE = 0.06
"""Of the frame's height."""
_FINE = 4


def badged(frame: Frame, corner: str) -> Frame:
    """A copy of the frame (H, W, 3 or 4) with the badge, as far from the corner as it is high by a third."""
    side = max(8, round(SHARE * frame.shape[0]))
    colour, cover = _badge(side)
    height, width = min(cover.shape[0], frame.shape[0]), min(cover.shape[1], frame.shape[1])
    gap = side // 3
    top = gap if corner.startswith("top") else frame.shape[0] - height - gap
    left = gap if corner.endswith("left") else frame.shape[1] - width - gap
    rows = slice(max(top, 0), max(top, 0) + height)
    columns = slice(max(left, 0), max(left, 0) + width)
    result = frame.copy()
    place = result[rows, columns]
    share = cover[: place.shape[0], : place.shape[1], None]
    mixed = place.astype(np.float32)
    mixed[..., :3] += share * (colour[: place.shape[0], : place.shape[1]] - mixed[..., :3])
    if frame.shape[2] == 4:
        mixed[..., 3:] += share * (255 - mixed[..., 3:])
    result[rows, columns] = np.rint(mixed)
    return result


@functools.lru_cache(maxsize=8)
def _badge(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Its colours (h, w, 3) in levels and how much it covers (h, w) in [0, 1]: white letters on a dark plate."""
    fine = side * _FINE
    font = ImageFont.load_default(size=fine * 0.72)
    left, top, right, bottom = font.getbbox("AI")
    width = round(right - left + 0.6 * fine)
    plate, letters = (Image.new("L", (width, fine)) for _ in range(2))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, width - 1, fine - 1), radius=fine // 4, fill=190)
    place = ((width - left - right) / 2, (fine - top - bottom) / 2)
    ImageDraw.Draw(letters).text(place, "AI", font=font, fill=255)
    small = (max(1, width // _FINE), side)
    cover, white = (np.asarray(each.resize(small, Image.Resampling.BOX), np.float32) / 255 for each in (plate, letters))
    colour = np.repeat((20 + 235 * white)[..., None], 3, axis=2)
    return colour.astype(np.float32), np.maximum(cover, white).astype(np.float32)

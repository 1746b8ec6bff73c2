"""Boxes: one given as x,y,w,h, overlap, padding, shapes, and the one fixed square that a crop is."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from fomm_cli.errors import FommError


class Box(NamedTuple):
    """A rectangle in pixels: x right, y down, from the picture's left-top corner; it may reach beyond the picture."""

    left: int
    top: int
    width: int
    height: int

    @property
    def edges(self) -> Edges:
        return self.left, self.top, self.left + self.width, self.top + self.height


Edges = tuple[float, float, float, float]
"""left, top, right, bottom, in pixels."""

SIDES = ("left", "top", "right", "bottom")
"""Their names."""


def parse_box(text: str) -> Box | None:
    """`x,y,w,h` in pixels: the left-top corner, which may be negative, and the sides; None for any other text."""
    match = re.fullmatch(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if match is None:
        return None
    box = Box(*(int(number) for number in match.groups()))
    if not box.width or not box.height:
        raise FommError(f"The box {text} is empty.", "w and h, the last two of x,y,w,h, are its width and height.")
    return box


def overlap(first: Edges, second: Edges) -> float:
    """Intersection over union, in [0, 1]."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(first) + _area(second) - shared)


def _area(box: Edges) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def union(first: Edges, second: Edges) -> Edges:
    """The smallest box around both."""
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


def grow(box: Edges, share: float) -> Edges:
    """The box with `share` of its width added left and right, and of its height above and below."""
    dx, dy = (box[2] - box[0]) * share, (box[3] - box[1]) * share
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy


def square(box: Edges, width: int, height: int, pad: float = 0.0) -> Box:
    """The square of the box's longer side around its centre, shifted into a picture of `width` x `height`.

    pad   share of the box's sides to add on each side, as far as the picture has room for it
    Where the picture is too small even for the bare box, the square is centred on it along that axis and reaches beyond
    on both sides; the crop repeats the edge there. Nothing is squashed. Such a square stays as it is, given again.
    """
    side = max(1, round(max(box[2] - box[0], box[3] - box[1])))
    wide = grow(box, pad)
    room = min(max(1, round(max(wide[2] - wide[0], wide[3] - wide[1]))), min(width, height))
    side = max(side, room)
    return Box(_place(box[0], box[2], side, width), _place(box[1], box[3], side, height), side, side)


def clip(box: Edges, width: int, height: int) -> Edges:
    """The part of a box that lies in a picture of `width` x `height`."""
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))


def _place(low: float, high: float, side: int, limit: int) -> int:
    """Where an interval of `side` begins: around the middle of [low, high], inside [0, limit] if it fits there."""
    if side > limit:
        return -((side - limit) // 2)
    begin = math.floor((low + high - side) / 2 + 0.5)
    return min(max(begin, 0), limit - side)


def center_box(height: int, width: int, aspect: float = 1.0) -> Box:
    """The largest box in the middle whose width is `aspect` times its height."""
    box_width = max(1, min(width, round(height * aspect)))
    box_height = max(1, min(height, round(width / aspect)))
    return Box((width - box_width) // 2, (height - box_height) // 2, box_width, box_height)


def pad_box(height: int, width: int, aspect: float = 1.0) -> Box:
    """The smallest box around the whole picture whose width is `aspect` times its height."""
    box_width = max(width, round(height * aspect))
    box_height = max(height, round(width / aspect))
    return Box(-((box_width - width) // 2), -((box_height - height) // 2), box_width, box_height)


def shaped(box: Box, aspect: float) -> Box:
    """`box` with its shorter side grown around its middle until width / height is `aspect`."""
    width = max(box.width, round(box.height * aspect))
    height = max(box.height, round(box.width / aspect))
    return Box(box.left - (width - box.width) // 2, box.top - (height - box.height) // 2, width, height)

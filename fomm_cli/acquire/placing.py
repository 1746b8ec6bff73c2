"""From a table's box to the pixels of the video that was really found."""

from __future__ import annotations

from typing import Literal

from fomm_cli.acquire.table import Cut
from fomm_cli.detectors.geometry import Box, square

Fit = Literal["stretch", "square"]


def place(cut: Cut, width: int, height: int, fit: Fit) -> Box:
    """The box of a clip in a video of `width` x `height`, whatever size the table was made at.

    stretch   the box as it is, clipped to the picture, to be resized without keeping its proportions (as published)
    square    the square around it, shifted into the picture; it reaches beyond only where the picture is too small
    """
    left, top, right, bottom = cut.box
    if fit == "square":
        scaled = (left * width / cut.width, top * height / cut.height,
                  right * width / cut.width, bottom * height / cut.height)  # fmt: skip
        return square(scaled, width, height)
    near_x, near_y = max(left, 0) * width // cut.width, max(top, 0) * height // cut.height
    far_x, far_y = min(right, cut.width) * width // cut.width, min(bottom, cut.height) * height // cut.height
    near_x, near_y = min(near_x, width - 1), min(near_y, height - 1)
    return Box(near_x, near_y, max(far_x - near_x, 1), max(far_y - near_y, 1))

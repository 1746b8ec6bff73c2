"""Contact sheets: the best, the median and the worst item of a table, with where it errs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fomm_cli import draw
from fomm_cli.data.clips import Clip
from fomm_cli.media.image import fit

COLUMNS = 6
SMALLEST = 128
"""Smaller frames are enlarged to this side, pixel by pixel."""


class Figure(NamedTuple):
    """One contact sheet, uint8 (H, W, 3), and what it shows."""

    caption: str
    picture: np.ndarray


def error_map(prediction: np.ndarray, truth: np.ndarray, full: float = 0.5) -> np.ndarray:
    """The mean absolute difference of the channels as heat: black none, red, yellow, white from `full` on.

    prediction, truth  uint8 (H, W, 3)
    """
    error = np.abs(prediction.astype(np.float32) - truth.astype(np.float32)).mean(axis=2) / 255
    heat = np.clip(error / full, 0, 1)[..., None] * 3 - np.arange(3)
    return np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)


def picked(ranked: Sequence[tuple[str, float]]) -> list[tuple[str, str, float]]:
    """(which, name, value) of the best, median and worst of clips ranked from best to worst; fewer if they coincide."""
    if not ranked:
        return []
    indices = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    chosen: dict[int, tuple[str, str, float]] = {}
    for which, index in indices.items():
        chosen.setdefault(index, (which, *ranked[index]))
    return list(chosen.values())


def spread(clip: Clip, size: tuple[int, int] | None, first: int = 0) -> tuple[list[int], np.ndarray]:
    """Numbers of COLUMNS frames over a clip, and their pictures behind that of frame `first`: uint8 (n + 1, H, W, 3).

    size  (H, W), None takes the clip's own
    """
    numbers = sorted({round(number) for number in np.linspace(0, len(clip) - 1, COLUMNS)})
    frames = clip.frames([first, *numbers])
    wanted = size or (frames[0].shape[0], frames[0].shape[1])
    return numbers, np.stack([fit(frame, wanted) for frame in frames])


def page_sheet(rows: list[list[np.ndarray]], columns: list[str], labels: list[str]) -> np.ndarray:
    """A sheet of pictures that are large enough to see."""
    factor = max(1, -(-SMALLEST // min(rows[0][0].shape[:2])))
    grown = [[picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in row] for row in rows]
    return draw.sheet(grown, columns=columns, labels=labels)

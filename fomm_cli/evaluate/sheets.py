"""Contact sheets: the best, the median and the worst clip of a method, with where it errs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fomm_cli import draw
from fomm_cli.data.clips import Clip, ClipRef
from fomm_cli.evaluate.animation import Column, Person, question
from fomm_cli.evaluate.methods import Method
from fomm_cli.evaluate.page import Figure
from fomm_cli.evaluate.pairs import Pair
from fomm_cli.evaluate.toon import People
from fomm_cli.media.image import fit
from fomm_cli.model.pixels import to_frames, to_tensor

COLUMNS = 6
SMALLEST = 128
"""Smaller frames are enlarged to this side, pixel by pixel."""


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
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    found: dict[int, tuple[str, str, float]] = {}
    for which, place in places.items():
        found.setdefault(place, (which, *ranked[place]))
    return list(found.values())


def reconstruction_sheet(
    ref: ClipRef, methods: Sequence[Method], size: tuple[int, int] | None, device: torch.device, caption: str
) -> Figure:
    """Driving frames, and for each method what it made of them and where it errs."""
    clip: Clip = ref.open()
    try:
        places = sorted({round(place) for place in np.linspace(0, len(clip) - 1, COLUMNS)})
        frames = clip.frames([0, *places])
        wanted = size or (frames[0].shape[0], frames[0].shape[1])
        pixels = np.stack([fit(frame, wanted) for frame in frames])
    finally:
        clip.close()
    pictures = to_tensor(pixels, device)
    source, driving = pictures[:1], pictures[1:]
    truth = pixels[1:]
    rows, labels = [list(truth)], ["driving"]
    for method in methods:
        made = to_frames(method.start(source, source, "reconstruction")(driving).prediction)
        rows += [list(made), [error_map(one, true) for one, true in zip(made, truth, strict=True)]]
        labels += [method.name, "error"]
    return Figure(caption, page_sheet(rows, [f"frame {place}" for place in places], labels))


def toon_sheet(person: Person, table: Sequence[Column], people: People, adapt_scale: bool, caption: str) -> Figure:
    """Driving frames, and for each mode the drawn truth, what every method made of it and where it errs."""
    rows: list[list[np.ndarray]] = []
    labels: list[str] = []
    for mode in dict.fromkeys(mode for _, _, mode in table):
        source, initial, driving, truth, _ = question(people, person, mode)
        shown = slice(0, COLUMNS)
        if not rows:
            rows.append([*to_frames(source), *to_frames(driving[shown])])
            labels.append("source, driving")
        true = to_frames(truth[shown])
        rows.append([*to_frames(initial), *true])
        labels.append(f"start, true {mode}")
        blank = np.full_like(true[0], 255)
        for name, method, how in table:
            if how == mode and method.size is not None:
                made = to_frames(method.start(source, initial, mode, adapt_scale)(driving[shown]).prediction)
                rows += [[blank, *made], [blank, *map(error_map, made, true)]]
                labels += [name, "error"]
    count = len(rows[0]) - 1
    return Figure(caption, page_sheet(rows, ["", *(f"frame {place + 1}" for place in range(count))], labels))


def pair_sheet(
    pair: Pair,
    table: Sequence[Column],
    size: tuple[int, int] | None,
    device: torch.device,
    adapt_scale: bool,
    caption: str,
) -> Figure:
    """Source and driving frames, and what every method made of them."""
    source_clip, clip = pair.source.open(), pair.driving.open()
    try:
        places = sorted({round(place) for place in np.linspace(0, len(clip) - 1, COLUMNS)})
        frames = clip.frames([pair.frame, *places])
        wanted = size or (frames[0].shape[0], frames[0].shape[1])
        pixels = np.stack([fit(frame, wanted) for frame in frames])
        first = np.ascontiguousarray(fit(source_clip.frame(0), wanted)[None])
    finally:
        source_clip.close()
        clip.close()
    driving, source = to_tensor(pixels, device), to_tensor(first, device)
    rows, labels = [[first[0], *pixels[1:]]], ["source, driving"]
    blank = np.full_like(first[0], 255)
    for name, method, mode in table:
        if method.size is not None:
            made = method.start(source, driving[:1], mode, adapt_scale)(driving[1:]).prediction
            rows.append([blank, *to_frames(made)])
            labels.append(name)
    return Figure(caption, page_sheet(rows, ["", *(f"frame {place}" for place in places)], labels))


def page_sheet(rows: list[list[np.ndarray]], columns: list[str], labels: list[str]) -> np.ndarray:
    """A sheet of pictures that are large enough to see."""
    factor = max(1, -(-SMALLEST // min(rows[0][0].shape[:2])))
    grown = [[picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in row] for row in rows]
    return draw.sheet(grown, columns=columns, labels=labels)

"""Curves as pictures, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fomm_cli.draw import colour

PANEL = (460, 280)

MARGIN = (64, 34, 16, 30)  # left, top, right, bottom, in pixels

INK, PALE = (40, 40, 40), (225, 225, 225)


class Curve(NamedTuple):
    """A line of a chart.

    label  its name
    steps  (n,), along the chart
    values (n,), up
    """

    label: str
    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def page(panels: Sequence[Image.Image], labels: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Charts in columns, and below them what their colours mean: uint8 (H, W, 3)."""
    columns = min(len(panels), 2 if len(panels) < 7 else 3)
    rows = math.ceil(len(panels) / columns)
    whole = Image.new("RGB", (columns * PANEL[0], rows * PANEL[1] + 18 * len(labels) + 8), "white")
    for number, each in enumerate(panels):
        whole.paste(each, (number % columns * PANEL[0], number // columns * PANEL[1]))
    pen = ImageDraw.Draw(whole)
    for number, name in enumerate(labels):
        y = rows * PANEL[1] + 18 * number
        pen.line([(MARGIN[0], y + 8), (MARGIN[0] + 24, y + 8)], fill=_ink(number), width=3)
        pen.text((MARGIN[0] + 32, y), name, fill=INK, font=ImageFont.load_default(13))
    return np.asarray(whole)


def _ink(number: int) -> tuple[int, int, int]:
    red, green, blue = colour(number)
    return round(red * 0.75), round(green * 0.75), round(blue * 0.75)  # darker: on white


def panel(title: str, curves: Sequence[Curve]) -> Image.Image:
    """One chart, of PANEL's size, with round numbers at its sides; curves of few points show them."""
    fine = 2  # drawn twice as large and averaged: smooth lines
    width, height = PANEL
    left, top, right, bottom = MARGIN
    x_range = _range(np.concatenate([curve.steps for curve in curves]))
    y_range = _range(np.concatenate([curve.values for curve in curves]))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / (x_range[1] - x_range[0])
        up = (y - y_range[0]) / (y_range[1] - y_range[0])
        return left + across * (width - left - right), height - bottom - up * (height - top - bottom)

    lines = Image.new("RGB", (width * fine, height * fine), "white")
    pen = ImageDraw.Draw(lines)
    ticks = [(True, tick) for tick in _ticks(*x_range)] + [(False, tick) for tick in _ticks(*y_range)]
    for along, tick in ticks:
        ends = [place(tick, y_range[0]), place(tick, y_range[1])] if along else [
            place(x_range[0], tick), place(x_range[1], tick)
        ]  # fmt: skip
        pen.line([(x * fine, y * fine) for x, y in ends], fill=PALE, width=fine)
    for number, curve in enumerate(curves):
        points = [place(x, y) for x, y in zip(curve.steps, curve.values, strict=True)]
        scaled = [(x * fine, y * fine) for x, y in points]
        if len(scaled) > 1:
            pen.line(scaled, fill=_ink(number), width=2 * fine, joint="curve")
        for x, y in scaled if len(scaled) <= 40 else []:
            pen.ellipse([x - 2 * fine, y - 2 * fine, x + 2 * fine, y + 2 * fine], fill=_ink(number))
    picture = lines.resize(PANEL, Image.Resampling.BOX)
    pen = ImageDraw.Draw(picture)
    small, large = ImageFont.load_default(11), ImageFont.load_default(14)
    pen.text((left, 10), title, fill=INK, font=large)
    for along, tick in ticks:
        x, y = place(tick, y_range[0]) if along else place(x_range[0], tick)
        spot = (x, height - bottom + 6) if along else (left - 6, y)
        pen.text(spot, f"{tick:g}", fill=INK, font=small, anchor="ma" if along else "rm")
    return picture


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    slack = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - slack, high + slack


def _ticks(low: float, high: float) -> list[float]:
    """Some five round numbers between two."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]

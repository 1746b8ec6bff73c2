"""What a run came to: its summary in numbers, and curves of one run or several as a picture, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fomm_cli.draw import colour
from fomm_cli.errors import FommError
from fomm_cli.train import logs
from fomm_cli.train.run import Run, is_claimed, read_json

PANEL = (460, 280)

MARGIN = (64, 34, 16, 30)  # left, top, right, bottom, in pixels

INK, PALE = (40, 40, 40), (225, 225, 225)


class Curve(NamedTuple):
    """
    label  the run's name
    steps  (n,)
    values (n,)
    """

    label: str
    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def plot(runs: Sequence[Run], keys: Sequence[str] = (), window: int = 50) -> NDArray[np.uint8]:
    """A panel a key with one curve a run: uint8 (H, W, 3).

    keys    of metrics.jsonl, or `validation.l1`, `validation.psnr`; none = every loss, the spread and the validation
    window  steps that are averaged to one point; the points of a validation stay single
    """
    metrics = {run.folder.name: logs.read(run.metrics) for run in runs}
    validation = {run.folder.name: logs.read(run.validation) for run in runs}
    if not any(metrics.values()):
        raise FommError("There is nothing to draw yet: no step is in metrics.jsonl.")
    chosen = list(keys) or _keys(metrics, validation)
    panels = []
    for key in chosen:
        curves = []
        for name in metrics:
            if key.startswith("validation."):
                found, width = _series(validation[name], key.removeprefix("validation.")), 1
            else:
                found, width = _series(metrics[name], key), window
            if len(found):
                curves.append(Curve(name, *windowed(found, width)))
        if not curves:
            known = ", ".join(_keys(metrics, validation))
            raise FommError(f"No run has a curve {key}.", f"There are: {known}.")
        panels.append(_panel(key, curves))
    columns = min(len(panels), 2 if len(panels) < 7 else 3)
    rows = math.ceil(len(panels) / columns)
    page = Image.new("RGB", (columns * PANEL[0], rows * PANEL[1] + 18 * len(runs) + 8), "white")
    for place, panel in enumerate(panels):
        page.paste(panel, (place % columns * PANEL[0], place // columns * PANEL[1]))
    pen = ImageDraw.Draw(page)
    for number, name in enumerate(metrics):
        y = rows * PANEL[1] + 18 * number
        pen.line([(MARGIN[0], y + 8), (MARGIN[0] + 24, y + 8)], fill=_ink(number), width=3)
        pen.text((MARGIN[0] + 32, y), name, fill=INK, font=ImageFont.load_default(13))
    return np.asarray(page)


def windowed(series: NDArray[np.float64], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over consecutive windows of a series (n, 2) of steps and values; the last may be shorter."""
    blocks = [series[start : start + window] for start in range(0, len(series), window)]
    means = np.array([block.mean(axis=0) for block in blocks])
    return means[:, 0], means[:, 1]


def _series(entries: list[dict[str, float]], key: str) -> NDArray[np.float64]:
    found = [(entry["step"], entry[key]) for entry in entries if isinstance(entry.get(key), int | float)]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _keys(metrics: dict[str, list[dict[str, float]]], validation: dict[str, list[dict[str, float]]]) -> list[str]:
    technical = ("step", "epoch", "step_time", "data_time", "pairs_per_second", "memory_gib", "skipped")
    seen = dict.fromkeys(key for entries in metrics.values() for entry in entries[:1] for key in entry)
    keys = [key for key in seen if key not in technical and not key.startswith(("lr_", "grad_norm_"))]
    return keys + (["validation.l1", "validation.psnr"] if any(validation.values()) else [])


def _ink(number: int) -> tuple[int, int, int]:
    red, green, blue = colour(number)
    return round(red * 0.75), round(green * 0.75), round(blue * 0.75)  # darker: on white


def _panel(title: str, curves: Sequence[Curve]) -> Image.Image:
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
    panel = lines.resize(PANEL, Image.Resampling.BOX)
    pen = ImageDraw.Draw(panel)
    small, large = ImageFont.load_default(11), ImageFont.load_default(14)
    pen.text((left, 10), title, fill=INK, font=large)
    for along, tick in ticks:
        x, y = place(tick, y_range[0]) if along else place(x_range[0], tick)
        spot = (x, height - bottom + 6) if along else (left - 6, y)
        pen.text(spot, f"{tick:g}", fill=INK, font=small, anchor="ma" if along else "rm")
    return panel


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


def summary(run: Run, full: bool = False) -> dict[str, Any]:
    """Progress and quality of a run as plain values; `full` adds options, environment and the last step's values."""
    config = run.read_config()
    steps = logs.read(run.metrics)
    validation = logs.read(run.validation)
    last = steps[-1] if steps else {}
    found: dict[str, Any] = {
        "run": run.folder.name,
        "preset": config.name,
        "state": state(run),
        "step": last.get("step", 0),
        "epoch": last.get("epoch", -1) + 1,
        "epochs": config.train.num_epochs,
        "loss": mean([entry.get("loss") for entry in steps[-50:]]),
        "keypoint_spread": mean([entry.get("keypoint_spread") for entry in steps[-50:]]),
        "skipped_steps": sum(bool(entry.get("skipped")) for entry in steps),
        "best_l1": min((entry["l1"] for entry in validation), default=None),
        "validation": validation[-1] if validation else None,
    }
    if full:
        found["last_step"] = last
        found["options"] = read_json(run.options)
        found["environment"] = read_json(run.environment)
    return found


def state(run: Run) -> str:
    """finished, training (by a process of this machine, now) or stopped: `fomm resume` goes on with it."""
    if is_claimed(run):
        return "training"
    return "finished" if run.weights.is_file() else "stopped"


def mean(values: list[float | None]) -> float | None:
    """The mean of what is there; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

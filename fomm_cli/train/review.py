"""What a run came to: its summary in numbers, and curves of one run or several as a picture, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.chart import Curve, page, panel
from fomm_cli.errors import FommError
from fomm_cli.train import logs
from fomm_cli.train.run import Run, is_claimed, read_json


def plot(runs: Sequence[Run], keys: Sequence[str] = (), window: int = 50) -> NDArray[np.uint8]:
    """A panel a key with one curve a run: uint8 (H, W, 3).

    keys    of metrics.jsonl, or of a validation, as `validation.l1`; none = every loss, the spread and the validation
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
        panels.append(panel(key, curves))
    return page(panels, list(metrics))


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
    measured = dict.fromkeys(key for entries in validation.values() for entry in entries for key in entry)
    return keys + [f"validation.{key}" for key in measured if key not in ("step", "epoch", "frames", "copy_l1")]


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
        "best_l1": best(validation),
        "validation": validation[-1] if validation else None,
    }
    if full:
        found["last_step"] = last
        found["options"] = read_json(run.options)
        found["environment"] = read_json(run.environment)
    return found


def best(validation: list[dict[str, Any]]) -> float | None:
    """The lowest L1."""
    return min((entry["l1"] for entry in validation if entry.get("l1") is not None), default=None)


def state(run: Run) -> str:
    """finished, training (by a process of this machine, now) or stopped: `fomm resume` goes on with it."""
    if is_claimed(run):
        return "training"
    return "finished" if run.weights.is_file() else "stopped"


def mean(values: list[float | None]) -> float | None:
    """The mean of what is there; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

"""What a run folder says about itself."""

from __future__ import annotations

from typing import Any

from fomm_cli.train import logs
from fomm_cli.train.run import Run, is_claimed, read_json


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

"""Two runs side by side: what they were told differently, and what came of it."""

from __future__ import annotations

from typing import Any

from fomm_cli.train import logs
from fomm_cli.train.checkpoint import differences
from fomm_cli.train.review import best, mean
from fomm_cli.train.run import Run, read_json

WINDOW = 50


def compare(one: Run, other: Run) -> dict[str, Any]:
    """Plain values, of every key a pair.

    config, options, environment   keys that differ, dotted, with both values; None where one has no such key
    step                           the last that both have made
    at_step                        means of up to 50 steps until there
    validation                     the last one until there, and the best of each run
    """
    told = [{"config": run.read_config().model_dump(mode="json")} | _surroundings(run) for run in (one, other)]
    found: dict[str, Any] = {part: _differing(*(side[part] for side in told)) for part in told[0]}
    steps = [logs.read(run.metrics) for run in (one, other)]
    validations = [logs.read(run.validation) for run in (one, other)]
    last = min((entries[-1]["step"] if entries else 0 for entries in steps), default=0)
    found["step"] = last
    windows = [[entry for entry in entries if last - WINDOW < entry["step"] <= last] for entries in steps]
    found["at_step"] = _pairs([_means(window) for window in windows])
    reached = [[entry for entry in entries if entry["step"] <= last] for entries in validations]
    found["validation"] = _pairs([_numbers(entries[-1]) if entries else {} for entries in reached])
    found["best"] = {"l1": [best(entries) for entries in validations]}
    return found


def _surroundings(run: Run) -> dict[str, Any]:
    environment = read_json(run.environment)
    environment.pop("command", None)  # the options tell what it said
    return {"options": read_json(run.options), "environment": environment}


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    return {key: [_at(one, key), _at(other, key)] for key in differences(one, other)}


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _means(entries: list[dict[str, Any]]) -> dict[str, float | None]:
    keys = dict.fromkeys(key for entry in entries for key in entry)
    keys = {key: None for key in keys if key not in ("step", "epoch", "skipped", "memory_gib", "data_time")}
    return {key: mean([entry.get(key) for entry in entries]) for key in keys}


def _numbers(entry: dict[str, Any]) -> dict[str, float | None]:
    return {key: value for key, value in entry.items() if key not in ("epoch", "frames")}


def _pairs(sides: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [side.get(key) for side in sides] for key in dict.fromkeys([*sides[0], *sides[1]])}

"""From records to the numbers of a report, and the report as one JSON document."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from typing import Any

from fomm_cli.evaluate.paper import CITATION, PAPER
from fomm_cli.evaluate.records import Record, digest_of
from fomm_cli.evaluate.statistics import Estimate, mean, ratio
from fomm_cli.model.pixels import psnr
from fomm_cli.version import __version__

UNITS = {
    "l1": "of [0, 1]",
    "psnr": "dB",
    "ssim": "",
    "lpips": "",
    "akd": "px at 256",
    "mkr": "",
    "aed": "Euclidean",
    "aed_squared": "squared",
    "identity": "Euclidean",
    "pose": "px at 256",
    "fid": "",
}
HIGHER_IS_BETTER = frozenset({"psnr", "ssim"})
SHOWN = {"aed_squared": "AED²", "identity": "AED to source", "pose": "AKD to driving"}

DETECTOR_NOTE = (
    "AKD, MKR and AED depend on the detectors that measure them: numbers from other detectors than the paper's are not "
    "comparable with the paper's, only with each other."
)


def title(metric: str) -> str:
    return SHOWN.get(metric, metric.upper())


def results(records: Sequence[Record], methods: Sequence[str], metrics: Sequence[str], seed: int) -> dict[str, Any]:
    """method -> metric -> value, count, interval, and the mean over videos beside the mean over frames."""
    done = [record for record in records if record.skipped is None]
    names = [name for metric in metrics for name in ((metric, "aed_squared") if metric == "aed" else (metric,))]
    return {method: {name: _one(done, method, name, seed) for name in names} for method in methods}


def _one(records: Sequence[Record], method: str, metric: str, seed: int) -> dict[str, Any]:
    tallies = [record.tallies[method] for record in records]
    if metric == "psnr":
        values = [psnr(error) for tally in tallies if (error := tally.mean("squared")) is not None]
        finite = [value for value in values if math.isfinite(value)]
        entry = _estimate(mean(finite, seed))
        return {**entry, "over": "videos", "count": len(finite), "identical_videos": len(values) - len(finite)}
    measured = [tally for tally in tallies if tally.counts.get(metric)]
    sums = [tally.sums[metric] for tally in measured]
    counts = [float(tally.counts[metric]) for tally in measured]
    entry = _estimate(ratio(sums, counts, seed))
    entry |= {"over": "frames", "count": int(sum(counts))}
    each = [total / count for total, count in zip(sums, counts, strict=True)]
    entry["per_video"] = {**_estimate(mean(each, seed)), "count": len(each)}
    lost = {"akd": "points", "mkr": "points", "pose": "points", "aed": "embedding", "aed_squared": "embedding"}
    lost["identity"] = "embedding"
    if metric in lost:
        parts = ("truth", "result")
        entry["missing"] = {part: sum(t.missing.get(f"{lost[metric]}_{part}", 0) for t in tallies) for part in parts}
    return entry


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = None if estimate.low is None else [estimate.low, estimate.high]
    return {"value": estimate.value, "interval": interval}


def over_copy(report: dict[str, Any], records: Sequence[Record], seed: int) -> None:
    """Add to every column's L1 how much of the copied source's error in the same mode it has left."""
    done = [record for record in records if record.skipped is None]
    for name, found in report["results"].items():
        floor = f"copy, {name.rpartition(', ')[2]}"
        if "l1" in found and floor in report["results"]:
            ours, copied = ([record.tallies[column].sums["l1"] for record in done] for column in (name, floor))
            found["l1"]["over_copy"] = _estimate(ratio(ours, copied, seed))


def per_clip(records: Sequence[Record], method: str, metric: str) -> list[tuple[str, float]]:
    """(name, mean over frames) of the clips that have the metric, from best to worst."""
    found = []
    for record in records:
        if record.skipped is None:
            tally = record.tallies[method]
            value = psnr(error) if metric == "psnr" and (error := tally.mean("squared")) else tally.mean(metric)
            if value is not None:
                found.append((record.name, value))
    return sorted(found, key=lambda pair: (-pair[1] if metric in HIGHER_IS_BETTER else pair[1], pair[0]))


def ranking(records: Sequence[Record], method: str, metrics: Sequence[str]) -> str:
    """The metric that says which clips of a method are its best and worst: the first that it has any value of."""
    return next((metric for metric in metrics if per_clip(records, method, metric)), metrics[0])


def versions() -> dict[str, str]:
    """What could change a number: the packages and the Python that computed it."""
    from importlib import metadata

    found = {"fomm": __version__, "python": platform.python_version()}
    for package in ("torch", "torchvision", "numpy", "pillow", "av", "torchmetrics", "onnxruntime", "ai-edge-litert"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def document(
    task: str,
    records: Sequence[Record],
    methods: Sequence[str],
    metrics: Sequence[str],
    seed: int,
    about: dict[str, Any],
    paper: str | None = None,
) -> dict[str, Any]:
    """The whole report: plain data, numbers unrounded.

    about  what was evaluated: data, methods with their hashes, detectors, size, ... taken over as it is
    """
    done = [record for record in records if record.skipped is None]
    skipped = [record for record in records if record.skipped is not None]
    notes = [DETECTOR_NOTE] if {"akd", "mkr", "aed", "pose", "identity"} & set(metrics) else []
    resized = sum(record.resized for record in done)
    if resized:
        notes.append(f"{resized} of {len(done)} clips were cropped and resized to the size of the evaluation.")
    if skipped:
        notes.append(f"{len(skipped)} of {len(records)} clips were skipped: the numbers are those of the others.")
    rows = [{"method": row.method, **row.values()} for row in PAPER[paper]] if paper else []
    return {
        "task": task,
        **about,
        "clips": len(done),
        "frames": sum(record.frames for record in done),
        "data_sha256": digest_of(done),
        "seed": seed,
        "interval": "95 % bootstrap over videos, 2000 resamples",
        "versions": versions(),
        "results": results(records, methods, metrics, seed),
        "paper": {"set": paper, "citation": CITATION, "rows": rows} if paper else None,
        "notes": notes,
        "skipped": [{"name": record.name, "reason": record.skipped} for record in skipped],
        "per_clip": {
            record.name: {
                "frames": record.frames,
                "sha256": record.digest,
                **{name: {key: tally.mean(key) for key in tally.sums} for name, tally in record.tallies.items()},
            }
            for record in done
        },
    }

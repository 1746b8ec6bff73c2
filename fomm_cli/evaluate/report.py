"""From records to the numbers of a report, and the report as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from fomm_cli.device import versions
from fomm_cli.errors import FommError, counted, nearest
from fomm_cli.evaluate.methods import Column, floors
from fomm_cli.evaluate.metrics import METRICS, Metric, shown
from fomm_cli.evaluate.records import Record, digest_of
from fomm_cli.evaluate.statistics import NOTHING, Estimate, mean, ratio

DETECTOR_NOTE = (
    "AKD, MKR and AED depend on the detectors that measure them: numbers from other detectors than the paper's are not "
    "comparable with the paper's, only with each other."
)


class Row(NamedTuple):
    """One method of the paper on one set: metric -> number, of those that it gives."""

    method: str
    numbers: dict[str, float]


CITATION = "Siarohin et al., First Order Motion Model for Image Animation, NeurIPS 2019, arXiv 2003.00196"

# Video reconstruction; L1 is over frames.
PAPER: dict[str, tuple[Row, ...]] = {
    "taichi": (
        Row("FOMM, paper", {"l1": 0.063, "akd": 6.862, "mkr": 0.036, "aed": 0.179}),
        Row("Monkey-Net, paper", {"l1": 0.077, "akd": 10.798, "mkr": 0.059, "aed": 0.228}),
        Row("X2Face, paper", {"l1": 0.080, "akd": 17.654, "mkr": 0.109, "aed": 0.272}),
    ),
    "vox": (
        Row("FOMM, paper", {"l1": 0.043, "akd": 1.294, "aed": 0.140}),
        Row("Monkey-Net, paper", {"l1": 0.049, "akd": 1.878, "aed": 0.199}),
        Row("X2Face, paper", {"l1": 0.078, "akd": 7.687, "aed": 0.405}),
    ),
    "nemo": (
        Row("FOMM, paper", {"l1": 0.016, "akd": 1.119, "aed": 0.048}),
        Row("Monkey-Net, paper", {"l1": 0.018, "akd": 1.285, "aed": 0.077}),
        Row("X2Face, paper", {"l1": 0.031, "akd": 3.539, "aed": 0.221}),
    ),
    "bair": (
        Row("FOMM, paper", {"l1": 0.027}),
        Row("Monkey-Net, paper", {"l1": 0.034}),
        Row("X2Face, paper", {"l1": 0.065}),
    ),
}


def known_set(name: str) -> str | None:
    """Which of the paper's sets a folder's name speaks of, None if of none."""
    lowered = name.lower()
    return next((known for known in PAPER if lowered == known or lowered.startswith((f"{known}-", f"{known}_"))), None)


def which(asked: str, folder: Path) -> str | None:
    """The set whose rows to show: as asked for, or for `auto` by the folder's name; None shows none."""
    if asked == "none":
        return None
    if asked == "auto":
        return known_set(folder.resolve().name)
    if asked not in PAPER:
        raise FommError(f"The paper has no rows for {asked!r}.", nearest(asked, [*PAPER, "auto", "none"]))
    return asked


def measured(records: Sequence[Record]) -> list[Record]:
    """Those that were not skipped."""
    return [record for record in records if record.skipped is None]


def results(records: Sequence[Record], columns: Sequence[str], metrics: Sequence[str], seed: int) -> dict[str, Any]:
    """column -> metric -> value, count, interval, and the mean over videos beside the mean over frames."""
    done = measured(records)
    return {column: {metric.name: _one(done, column, metric, seed) for metric in shown(metrics)} for column in columns}


def _one(records: Sequence[Record], column: str, metric: Metric, seed: int) -> dict[str, Any]:
    key = metric.summed
    tallies = [record.tallies[column] for record in records]
    broken = sum(tally.broken.get(key, 0) for tally in tallies)
    counted_in = [tally for tally in tallies if tally.counts.get(key)]
    each = [value for tally in counted_in if (value := metric.value(tally)) is not None]
    per_video = NOTHING if broken else mean(each, seed)
    if metric.of_clip is not None:
        entry = {**_estimate(per_video), "over": "videos", "count": len(each)}
        entry["identical_videos"] = sum(key not in tally.broken for tally in counted_in) - len(each)
    else:
        sums = [tally.sums[key] for tally in counted_in]
        counts = [float(tally.counts[key]) for tally in counted_in]
        estimate = NOTHING if broken else ratio(sums, counts, seed)
        entry = {**_estimate(estimate), "over": "frames", "count": int(sum(counts))}
        entry["per_video"] = {**_estimate(per_video), "count": len(each)}
    if broken:
        entry["broken"] = broken
    if metric.source in ("points", "embedding"):
        lost = {part: f"{metric.source}_{part}" for part in ("truth", "result")}
        entry["missing"] = {part: sum(t.missing.get(name, 0) for t in tallies) for part, name in lost.items()}
    return entry


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = None if estimate.low is None else [estimate.low, estimate.high]
    return {"value": estimate.value, "interval": interval}


def compare(found: dict[str, Any], records: Sequence[Record], table: Sequence[Column], seed: int) -> None:
    """Hold every column against its floor, see `methods.floors`, clip by clip.

    against    mean over videos of this column's value less the floor's: pairs tell more than two averages, since what
               makes a clip hard is the same for both; `better`: of how many clips this column is the better one
    over_copy  of L1: how much of the copied source's error is left
    """
    done = measured(records)
    floor_of = floors(table)
    baselines = {column.name for column in table if column.method.size is None}
    for name, numbers in found.items():
        floor = floor_of[name]
        for metric in (METRICS[key] for key, entry in numbers.items() if entry["value"] is not None):
            values = [(metric.value(record.tallies[name]), metric.value(record.tallies[floor])) for record in done]
            pairs = [(ours, theirs) for ours, theirs in values if ours is not None and theirs is not None]
            if name != floor and pairs:
                numbers[metric.name]["against"] = {
                    "column": floor,
                    **_estimate(mean([ours - theirs for ours, theirs in pairs], seed)),
                    "clips": len(pairs),
                    "better": sum(metric.better(ours, theirs) for ours, theirs in pairs),
                }
        if floor in baselines and numbers.get("l1", {}).get("value") is not None:
            ours, theirs = ([record.tallies[column].sums["l1"] for record in done] for column in (name, floor))
            numbers["l1"]["over_copy"] = _estimate(ratio(ours, theirs, seed))


def disagreements(found: dict[str, Any], table: Sequence[Column]) -> Iterator[str]:
    """A sentence for each two columns of which one is better over frames, the other over videos."""
    for one, other in combinations(table, 2):
        if one.mode != other.mode:
            continue
        for name, entry in found[one.name].items():
            metric, against = METRICS[name], found[other.name][name]
            over_frames = _preferred(metric, entry, against)
            over_videos = _preferred(metric, entry.get("per_video", {}), against.get("per_video", {}))
            if over_frames * over_videos < 0:
                first, second = (one, other) if over_frames > 0 else (other, one)
                yield (
                    f"{metric.title}: {first.name} is better over frames, {second.name} over videos; "
                    "the average over frames gives long clips more weight."
                )


def _preferred(metric: Metric, one: dict[str, Any], other: dict[str, Any]) -> int:
    """1 where one is better, -1 where the other is, 0 where neither."""
    a, b = one.get("value"), other.get("value")
    return 0 if a is None or b is None else int(metric.better(a, b)) - int(metric.better(b, a))


def ranking(records: Sequence[Record], column: str, metrics: Sequence[str]) -> tuple[Metric, list[tuple[str, float]]]:
    """The first metric that a column has any value of, and (clip, value) of those that have one, from best to worst."""
    best: list[tuple[str, float]] = []
    metric = METRICS[metrics[0]]
    for metric in (METRICS[name] for name in metrics):
        values = [(record.name, metric.value(record.tallies[column])) for record in measured(records)]
        known = [(name, value) for name, value in values if value is not None]
        best = sorted(known, key=lambda pair: (-pair[1] if metric.higher else pair[1], pair[0]))
        if best:
            break
    return metric, best


def document(
    task: str,
    records: Sequence[Record],
    table: Sequence[Column],
    metrics: Sequence[str],
    seed: int,
    about: dict[str, Any],
    paper: str | None = None,
) -> dict[str, Any]:
    """The whole report: plain data, numbers unrounded, never NaN.

    about  what was evaluated: data, methods with their hashes, detectors, size, ... taken over as it is
    """
    done = measured(records)
    columns = [column.name for column in table]
    found = results(records, columns, metrics, seed)
    compare(found, records, table, seed)
    rows = [{"method": row.method, **row.numbers} for row in PAPER[paper]] if paper else []
    return {
        "task": task,
        **about,
        "clips": len(done),
        "frames": sum(record.frames for record in done),
        "data_sha256": digest_of(done),
        "seed": seed,
        "interval": "95 % bootstrap over videos, 2000 resamples",
        "versions": versions(),
        "results": found,
        "paper": {"set": paper, "citation": CITATION, "rows": rows} if paper else None,
        "notes": list(_notes(records, found, table, metrics)),
        "skipped": [
            {"name": record.name, "reason": record.skipped} for record in records if record.skipped is not None
        ],
        "per_clip": {
            record.name: {
                "frames": record.frames,
                "sha256": record.digest,
                **{column: _values(record, column, metrics) for column in columns},
            }
            for record in done
        },
    }


def _values(record: Record, column: str, metrics: Sequence[str]) -> dict[str, float | None]:
    return {
        metric.name: metric.value(record.tallies[column]) for metric in shown(metrics) if metric.source != "features"
    }


def _notes(
    records: Sequence[Record], found: dict[str, Any], table: Sequence[Column], metrics: Sequence[str]
) -> Iterator[str]:
    """What a reader of the numbers has to know."""
    done = measured(records)
    if any(METRICS[name].source in ("points", "embedding") for name in metrics):
        yield DETECTOR_NOTE
    resized = sum(record.resized for record in done)
    if resized:
        yield f"{resized} of {len(done)} clips were cropped and resized to the size of the evaluation."
    if len(done) < len(records):
        skipped = len(records) - len(done)
        yield f"{skipped} of {len(records)} clips were skipped: the numbers are those of the others."
    for column, numbers in found.items():
        for name, entry in numbers.items():
            if "broken" in entry:
                frames = counted(entry["broken"], "frame")
                yield f"{column}: {METRICS[name].title} of {frames} is not a number, so no average is given."
    yield from disagreements(found, table)

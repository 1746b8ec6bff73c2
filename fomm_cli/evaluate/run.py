"""One evaluation: every item measured once, this process's share of them, and the report of all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fomm_cli.errors import FommError
from fomm_cli.evaluate import frechet, report, sheets
from fomm_cli.evaluate.methods import Column
from fomm_cli.evaluate.page import render
from fomm_cli.evaluate.records import Record, Store
from fomm_cli.evaluate.setup import Request, Say, Setup, prepare
from fomm_cli.evaluate.sheets import Figure
from fomm_cli.evaluate.tasks import Task
from fomm_cli.files import disk
from fomm_cli.processes import World, from_environment, gather, joined

Step = Callable[[str, int, int], None]
"""Called with the name of an item that is done, how many are, and of how many: this process's share."""


class Result(NamedTuple):
    """What an evaluation found.

    report  plain data, numbers unrounded, as in results.json: every key stands in docs/evaluation.md
    page    the report for people; None without a folder
    first   whether this process speaks for all: of those of a torchrun, one does
    """

    report: dict[str, Any]
    page: Path | None
    first: bool


def evaluate(
    task: Task,
    request: Request,
    out: Path | None = None,
    force: bool = False,
    say: Say = lambda text: None,
    step: Step = lambda name, done, total: None,
) -> Result:
    """Ask weights a question and report on the answers.

    out    folder for results.json, report.html and what is found of every item: the same call goes on where it stopped
    force  replace the report of another evaluation
    say    told the device, and what is about to be downloaded, by the first process
    Under torchrun the items are shared among the processes, and every one gets the report.
    Raises FommError: weights, metrics, detectors or a folder that cannot be had; not one item that could be measured.
    """
    world = from_environment()
    # Only the small records of clips are exchanged, on the CPU whatever the device; the slowest process may take long.
    with joined(world, torch.device("cpu"), wait=timedelta(days=1)):
        setup = prepare(request, task.kind, out is not None, world, say if world.first else lambda text: None)
        table = task.table(setup)
        about = {**setup.about, **task.about(setup)}
        store = None
        if out is not None:
            question = {"task": task.name, **about, "clips": [item.name for item in task.items], "seed": task.seed}
            store = _store(out, question, force, setup.inception is not None, world)
        records = measure(task, setup, world, store, step)
        found = report.document(task.name, records, table, setup.metrics, task.seed, about, task.paper)
        if store is not None and setup.inception is not None:
            frechet.complete(found, records, store)
        page = out / "report.html" if out is not None else None
        if out is not None and page is not None and world.first:
            figures = _figures(task, setup, table, records)
            text = json.dumps(found, indent=2, allow_nan=False) + "\n"
            disk.write_text(out / "results.json", text, force=True)
            disk.write_text(page, render(found, figures), force=True)
    return Result(found, page, world.first)


def measure(
    task: Task,
    setup: Setup,
    world: World | None = None,
    store: Store | None = None,
    step: Step = lambda name, done, total: None,
) -> list[Record]:
    """The records of all items in their order; every process gets all of them."""
    world = world or World()
    items = list(task.items)
    mine: list[tuple[int, Record]] = []
    share = world.mine(len(items))
    for number in share:
        mine.append((number, _record(task, items[number], setup, store)))
        step(items[number].name, len(mine), len(share))
    records = [record for _, record in sorted(gather(mine, world), key=lambda pair: pair[0])]
    if all(record.skipped is not None for record in records):
        what = records[0].skipped if records else "there are none."
        raise FommError(f"No clip could be evaluated: {what}", "Look at the clips with `fomm dataset check`.")
    return records


def _record(task: Task, item: Any, setup: Setup, store: Store | None) -> Record:
    """An item that cannot be read becomes a record that says why it was skipped."""
    digest = ""
    try:
        digest = task.digest(item, setup)
        record = store.read(item.name, digest) if store is not None else None
        if record is None:
            record = task.measure(item, setup)
            record.digest = digest
            if store is not None:
                store.write(record)
    except FommError as error:
        return Record(item.name, digest, skipped=error.what)
    except OSError as error:
        return Record(item.name, digest, skipped=f"{error.filename or item.name}: {error.strerror or error}.")
    return record


def _store(folder: Path, question: dict[str, Any], force: bool, features: bool, world: World) -> Store:
    """The store behind `out`, prepared by the first process before any other uses it."""
    failure: FommError | None = None
    store = None
    if world.first:
        try:
            store = Store(folder, question, force, wants_features=features)
        except FommError as error:
            failure = error
    refused = gather([(failure.what, failure.hint)] if failure else [], world)
    if refused:
        raise failure or FommError(*refused[0])
    return store or Store(folder, question, writes=False, wants_features=features)


def _figures(task: Task, setup: Setup, table: list[Column], records: list[Record]) -> list[Figure]:
    """Sheets of the best, the median and the worst item of the first network, or else of the first column."""
    shown = next((column.name for column in table if column.method.size is not None), table[0].name)
    metric, ranked = report.ranking(records, shown, setup.metrics)
    by_name = {item.name: item for item in task.items}
    figures = []
    for which, name, value in sheets.picked(ranked):
        caption = f"{which} of {shown}: {name}, {metric.title} {metric.text(value)}"
        figures.append(task.sheet(by_name[name], setup, caption))
    return figures

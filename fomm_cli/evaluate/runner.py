"""Every clip once: this process's share, what is there from before, and all records together at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fomm_cli.errors import FommError
from fomm_cli.evaluate import frechet
from fomm_cli.evaluate.ranks import Ranks
from fomm_cli.evaluate.records import Record, Store


class Item(Protocol):
    """Something with a name that is evaluated as one."""

    @property
    def name(self) -> str: ...


def run(
    items: list,
    digest: Callable[..., str],
    measure: Callable[..., Record],
    ranks: Ranks,
    store: Store | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Record]:
    """The records of all items in their order; every process gets all of them.

    digest    item -> hash of its bytes
    measure   (item, digest) -> record; a FommError becomes a record that says why the item was skipped
    progress  called with the name of every item of this process that is done
    """
    mine: list[tuple[int, Record]] = []
    for place, item in ranks.share(items):
        record = _one(item, digest, measure, store)
        mine.append((place, record))
        if progress is not None:
            progress(item.name)
    gathered = sorted((pair for part in ranks.gather(mine) for pair in part), key=lambda pair: pair[0])
    records = [record for _, record in gathered]
    if all(record.skipped is not None for record in records):
        what = records[0].skipped if records else "there are none."
        raise FommError(f"No clip could be evaluated: {what}", "Look at the clips with `fomm dataset check`.")
    return records


def _one(item: Item, digest: Callable[..., str], measure: Callable[..., Record], store: Store | None) -> Record:
    found = ""
    try:
        found = digest(item)
        record = store.read(item.name, found) if store is not None else None
        if record is None:
            record = measure(item, found)
            if store is not None:
                store.write(record)
    except FommError as error:
        return Record(item.name, found, skipped=error.what)
    except OSError as error:
        return Record(item.name, found, skipped=f"{error.filename or item.name}: {error.strerror or error}.")
    return record


def complete(report: dict, records: list[Record], store: Store | None, columns: list[str], asked: bool) -> None:
    """Add FID, where it is asked for, from the features that the store kept."""
    if asked and store is not None:
        clips = (store.features(record.name) for record in records if record.skipped is None)
        frechet.complete(report, clips, columns)


def report_folder(
    folder: Path | None, question: dict, force: bool, ranks: Ranks, features: bool = False
) -> Store | None:
    """The store behind `--out`, prepared by the first process before any other uses it.

    features  a clip without kept features is measured again
    """
    if folder is None:
        return None
    failure: FommError | None = None
    store = None
    if ranks.first:
        try:
            store = Store(folder, question, force)
        except FommError as error:
            failure = error
    refused = ranks.gather((failure.what, failure.hint) if failure else None)[0]
    if refused is not None:
        raise failure or FommError(*refused)
    store = store or Store(folder, question, writes=False)
    store.wants_features = features
    return store

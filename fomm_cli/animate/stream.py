"""Stages in threads of their own: an iterator that is worked off ahead of its reader, in bounded memory."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 0.05
"""Seconds between two looks at whether the other side has gone."""


class _End:
    """The last thing in a queue: the error that ended the stage, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def threaded(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items in the same order, made in a thread that runs at most `depth` items ahead.

    An error there is raised here, in its place; when the reader stops, the thread stops and `items` is closed, before
    this returns. Nested calls make a pipeline: decode, resize and network each in a thread, the writer in the reader's.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    left = threading.Event()

    def put(item: T | _End) -> bool:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=_PATIENCE)
                return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as caught:  # whatever it is belongs to the reader
            error = caught
        finally:
            try:
                close(items)
            except BaseException as caught:
                error = error or caught
        put(_End(error))

    worker = threading.Thread(target=work, name="fomm-stage", daemon=True)
    worker.start()
    try:
        while True:
            try:
                item = waiting.get(timeout=_PATIENCE)  # with a timeout, so that Ctrl-C gets through on every system
            except queue.Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        left.set()
        worker.join()


def close(items: Any) -> None:
    """Close a generator; other iterables have nothing to close."""
    if isinstance(items, Generator):
        items.close()


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    try:
        while batch := list(islice(iterator, size)):
            yield batch
    finally:
        close(iterator)

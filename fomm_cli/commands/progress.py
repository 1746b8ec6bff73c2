"""Frames going by, on stderr: what is done, how fast, and how long it will take."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer

WORDS = {"crop": "Finding the crop", "detect": "Reading the motion", "render": "Animating", "batch": "Batch"}


@contextlib.contextmanager
def frame_progress(console: Any) -> Iterator[Callable[[str, int, int | None], None]]:
    """Yields the callback that `animate_clip` reports to; a bar for each stage, gone when all is done.

    Where stderr is no terminal nothing is drawn: a log file wants no thousand bars.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(WORDS[stage], total=total, pace="")
            task = bars.tasks[tasks[stage]]
            pace = f"{task.speed:.0f} fps" if task.speed else ""
            bars.update(tasks[stage], completed=done, total=None if total is None else max(done, total), pace=pace)

        yield report


class Downloads:
    """Hears of downloads (`files.listener`) and shows them on stderr; nothing is imported before the first."""

    def __init__(self) -> None:
        self._bar: Any = None

    def say(self, line: str) -> None:
        self.close()
        typer.echo(line, err=True)

    def progress(self, done: int, total: int | None) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("", total=total)
        self._bar.update(0, completed=done, total=total)
        if done == total:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

"""Frames going by, on stderr: what is done, how fast, and how long it will take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

WORDS = {"crop": "Finding the crop", "detect": "Reading the motion", "render": "Animating"}


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

"""What the verbs of `fomm eval` share: a progress bar on stderr, a table or JSON on stdout, the report's files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.errors import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from fomm_cli.evaluate.page import Figure
    from fomm_cli.evaluate.ranks import Ranks


class Bar:
    """Progress over clips, of this process's share."""

    def __init__(self, console: Console, bar: Progress, task: TaskID) -> None:
        self.console, self.bar, self.task = console, bar, task

    def step(self, name: str) -> None:
        self.bar.update(self.task, advance=1, description=name)

    def say(self, text: str) -> None:
        self.console.print(text)


@contextmanager
def progress(clips: int, ranks: Ranks) -> Iterator[Bar]:
    """A bar on stderr; only the first of several processes shows one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=not ranks.first)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        share = len(range(ranks.rank, clips, ranks.size))
        yield Bar(console, bar, bar.add_task("starting", total=share))


def finish(result: dict[str, Any], figures: list[Figure], out: Path | None, as_json: bool) -> None:
    """Write the report's files and print the result."""
    import json

    from fomm_cli.files import disk

    text = json.dumps(result, indent=2)
    if out is not None:
        from fomm_cli.evaluate.page import render

        disk.write_text(out / "results.json", text + "\n", force=True)
        disk.write_text(out / "report.html", render(result, figures), force=True)
    if as_json:
        typer.echo(text)
        return
    table(result)
    if out is not None:
        typer.echo(f"{out / 'report.html'}")


def table(result: dict[str, Any]) -> None:
    """Metrics in rows and methods in columns: it stays readable in a narrow terminal."""
    from rich.console import Console
    from rich.table import Table

    from fomm_cli.evaluate.page import heading, interval, number

    results = result["results"]
    paper = (result.get("paper") or {}).get("rows", [])
    size = result["size"]
    shown = f"{size[1]}x{size[0]}" if isinstance(size, list) else size
    seen = f"{counted(result['clips'], 'clip')}, {counted(result['frames'], 'frame')}"
    view = Table(title=f"{result['task'].capitalize()}: {seen}, {shown}")
    view.add_column("")
    for name in (*results, *(row["method"] for row in paper)):
        view.add_column(name, justify="right")
    for metric in next(iter(results.values())):
        cells = []
        for found in results.values():
            entry = found[metric]
            lines = [f"{number(entry['value'], metric)} [dim]{_plain(interval(entry, metric))}[/dim]"]
            each = entry.get("per_video", entry)
            if metric == "l1" and number(each["value"], metric) != number(entry["value"], metric):
                lines.append(f"[dim]per video[/dim] {number(each['value'], metric)}")
            if "over_copy" in entry:
                lines.append(f"[dim]of copying[/dim] {number(entry['over_copy']['value'], metric)}")
            lost = entry.get("missing")
            if lost and any(lost.values()):
                lines.append(f"[dim]missing {lost['truth']} true, {lost['result']} made[/dim]")
            if entry.get("identical_videos"):
                lines.append(f"[dim]{entry['identical_videos']} identical left out[/dim]")
            cells.append("\n".join(lines))
        view.add_row(heading(metric), *cells, *(str(row.get(metric, "-")) for row in paper))
    Console().print(view)
    errors = Console(stderr=True)
    for note in result["notes"]:
        errors.print(f"Note: {note}", style="yellow", markup=False)
    for item in result["skipped"]:
        errors.print(f"Skipped {item['name']}: {item['reason']}", style="yellow", markup=False)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")

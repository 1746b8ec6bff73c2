"""`fomm dataset pack`: a data set as packed clips."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fomm_cli.errors import counted

if TYPE_CHECKING:
    from fomm_cli.data.pack import Outcome


def pack(
    root: Path = typer.Argument(..., metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    output: Path = typer.Option(..., "--output", "-o", metavar="OUT", help="The folder to write packed clips into."),
    lossless: bool = typer.Option(False, "--lossless", help="Store PNG frames instead of JPEG."),
    quality: int = typer.Option(95, "--quality", metavar="1-100", min=1, max=100, help="JPEG quality."),
    size: str | None = typer.Option(
        None, "--size", metavar="SIDE|WxH", help="Resize every frame, its sides cut to that shape first."
    ),
    workers: int | None = typer.Option(None, "--workers", metavar="N", min=1, help="Clips packed at once."),
    force: bool = typer.Option(False, "--force", help="Pack again what is packed already."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Pack each clip into one file with random access to its frames.

    Any layout goes in; names and the train/ and test/ folders stay. Run it again to go on where it stopped.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fomm_cli.data.pack import pack as run
    from fomm_cli.data.packed import Packing

    packing = Packing(lossless, quality, _size(size))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("packing", total=None)

        def report(outcome: Outcome, total: int) -> None:
            progress.update(task, total=total, advance=1)
            if outcome.failure:
                progress.console.print(f"skipped: {outcome.failure}", style="yellow", markup=False, highlight=False)

        result = run(root, output, packing, workers or os.cpu_count() or 1, force, report)
    if as_json:
        typer.echo(json.dumps({"output": str(output), **vars(result)}))
    else:
        kept = f", {result.kept} packed before" if result.kept else ""
        held = f"{counted(result.frames, 'frame')}, {result.bytes / 1e6:.1f} MB"
        typer.echo(f"{output}: {counted(result.written, 'clip')} packed{kept}, {held}")
    if result.failures:
        typer.echo(f"Left out: {counted(len(result.failures), 'clip')} cannot be read.", err=True)
        raise typer.Exit(1)


def _size(text: str | None) -> tuple[int, int] | None:
    """ "256" or "WIDTHxHEIGHT" as (H, W)."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    try:
        return (int(height), int(width)) if cross else (int(width), int(width))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither a side nor WIDTHxHEIGHT.", param_hint="--size") from error

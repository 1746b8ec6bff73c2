"""`fomm dataset check`: what a data set holds, before a training trips over it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fomm_cli.errors import counted

if TYPE_CHECKING:
    from fomm_cli.data.check import Part


def check(
    root: Path = typer.Argument(..., metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    source: str | None = typer.Option(
        None, "--config", "-c", metavar="PRESET|FILE", help="Check it for this training: batch, identities, shapes."
    ),
    overrides: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key. Repeatable."),
    full: bool = typer.Option(False, "--full", help="Decode every frame, not three a clip: finds all damage."),
    seed: int = typer.Option(0, "--seed", help="Of the split, where there are no train/ and test/."),
    workers: int | None = typer.Option(None, "--workers", metavar="N", min=1, help="Clips looked at at once."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Report layout, clips, frames, sizes, identities and every clip that cannot be read."""
    from rich.console import Console
    from rich.progress import Progress

    from fomm_cli.config import reading as configs
    from fomm_cli.data.check import check as run

    if overrides and source is None:
        raise typer.BadParameter("it changes a configuration: name one with --config.", param_hint="--set")
    config = None if source is None else configs.load(source, overrides)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("checking", total=None)
        result = run(
            root,
            config,
            seed,
            full,
            workers or os.cpu_count() or 1,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        typer.echo(f"{result.root}: {result.layout}")
        _print_part("train", result.train)
        _print_part("test", result.test)
        for title, lines in (
            ("unreadable", [reason for _, reason in result.unreadable]),
            ("ignored", result.ignored),
            ("warning", result.warnings),
            ("error", result.errors),
        ):
            for line in lines:
                typer.echo(f"{title}: {line}")
        typer.echo("Ready to train on." if result.usable else "Not usable for training.")
    if not result.usable:
        raise typer.Exit(1)


def _print_part(name: str, part: Part) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in part.kinds.items())
    typer.echo(f"{name:<6} {counted(part.clips, 'clip')}{f' ({kinds})' if kinds else ''}", nl=False)
    typer.echo(f", {counted(part.frames, 'frame')}, {counted(part.identities, 'identity', 'identities')}")
    if part.smallest is None or part.largest is None:
        return
    sizes = [f"{size} ({count})" for size, count in part.sizes.items()]
    more = f", {len(sizes) - 4} more" if len(sizes) > 4 else ""
    typer.echo(f"       sizes {', '.join(sizes[:4])}{more}")
    typer.echo(
        f"       shortest {part.smallest[0]} ({counted(part.smallest[1], 'frame')}), "
        f"longest {part.largest[0]} ({counted(part.largest[1], 'frame')})"
    )

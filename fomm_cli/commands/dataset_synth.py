"""`fomm dataset synth`: draw the procedural set of cartoon faces."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from fomm_cli.commands.options import Device, Force, Json
from fomm_cli.errors import counted

SETS = ["toon"]


def synth(
    name: str = typer.Argument(..., metavar="SET", help="Which procedural set: toon."),
    out: Path = typer.Option(..., "--out", "-o", metavar="DIR", help="Gets train/ and test/."),
    videos: int = typer.Option(..., "--videos", metavar="N", min=1, help="Clips in all."),
    seed: int = typer.Option(0, "--seed", help="Another seed, other people."),
    size: int = typer.Option(128, "--size", metavar="PX", help="Side of a frame."),
    frames: int = typer.Option(32, "--frames", metavar="N", help="Frames a clip."),
    rate: float = typer.Option(10.0, "--rate", metavar="FPS", help="Frames a second: lower moves more a frame."),
    clips: int = typer.Option(1, "--clips", metavar="N", help="Clips of each person."),
    test: int | None = typer.Option(None, "--test", metavar="N", min=0, help="Clips for test/; a tenth by default."),
    pairs: bool = typer.Option(False, "--pairs", help="Also sources and driving clips with their true animations."),
    still_head: bool = typer.Option(False, "--still-head", help="Hold shift, scale and roll: mouth and eyes alone."),
    still_pose: bool = typer.Option(False, "--still-pose", help="Hold the whole pose of the head: faces alone."),
    device: Device = "cpu",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw cartoon faces: any number of people, each the same for ever by seed and number.

    A second call goes on where the first one stopped.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fomm_cli.device import resolve
    from fomm_cli.errors import FommError, nearest

    if name not in SETS:
        raise FommError(f"There is no procedural set {name!r}.", nearest(name, SETS))
    from fomm_cli.data.synth import SynthSettings, synthesize

    settings = SynthSettings(
        seed=seed, size=size, frames=frames, rate=rate, clips=clips, still_head=still_head, still_pose=still_pose
    )
    columns = (TextColumn("Drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        report = synthesize(
            out,
            videos,
            settings,
            pairs=pairs,
            test=test,
            force=force,
            device=resolve(device),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        typer.echo(json.dumps({"out": str(out), **report._asdict()}))
        return
    pairs_too = f", {counted(report.pairs, 'pair')}" if report.pairs else ""
    typer.echo(f"{out}: {counted(report.train, 'training clip')}, {counted(report.test, 'test clip')}{pairs_too}")
    if report.kept:
        typer.echo(f"{report.kept} were there already.", err=True)

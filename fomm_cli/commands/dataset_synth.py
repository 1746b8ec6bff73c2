"""`fomm dataset synth`: draw the procedural set of cartoon faces, or make portraits move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from fomm_cli.commands.options import Device, Force, Json
from fomm_cli.errors import counted

SETS = ["toon", "portraits"]


def synth(
    name: str = typer.Argument(..., metavar="SET", help="toon: cartoon faces; portraits: still pictures of people."),
    out: Path = typer.Option(..., "--out", "-o", metavar="DIR", help="Gets train/ and test/."),
    portraits: list[Path] = typer.Option([], "--portraits", metavar="DIR", help="Pictures of people. Repeatable."),
    points: Path | None = typer.Option(None, "--points", metavar="FILE|DIR", help="Their face points and mattes."),
    person: str = typer.Option("[^#]+", "--person", metavar="REGEX", help="What of a portrait's name is the person."),
    videos: int | None = typer.Option(None, "--videos", metavar="N", min=1, help="Clips in all (toon)."),
    seed: int = typer.Option(0, "--seed", help="Other toons; other motions of the same portraits."),
    size: int = typer.Option(128, "--size", metavar="PX", help="Side of a frame."),
    frames: int | None = typer.Option(None, "--frames", metavar="N", help="Frames a clip: 32, of portraits 16."),
    rate: float | None = typer.Option(None, "--rate", metavar="FPS", help="Frames a second: 10, of portraits about 3."),
    clips: int | None = typer.Option(
        None, "--clips", metavar="N", min=0, help="Clips of each person: 1, of portraits 4."
    ),
    test: int | None = typer.Option(
        None, "--test", metavar="N", min=0, help="Clips, of portraits people, for test/; a tenth."
    ),
    pairs: bool = typer.Option(False, "--pairs", help="Also sources and driving clips with their true animations."),
    still_head: bool = typer.Option(False, "--still-head", help="Hold shift, scale and roll: mouth and eyes alone."),
    still_pose: bool = typer.Option(False, "--still-pose", help="Hold the whole pose of the head: faces alone."),
    jobs: int | None = typer.Option(None, "--jobs", min=1, help="Processes for portraits; one a core by default."),
    device: Device = "cpu",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw cartoon faces, any number of them, or make portraits talk, blink and turn: the same for ever by seed.

    A second call goes on where the first one stopped.
    """
    import os

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fomm_cli.errors import FommError, nearest

    if name not in SETS:
        raise FommError(f"There is no procedural set {name!r}.", nearest(name, SETS))
    faces = name == "portraits"
    if faces != bool(portraits):
        raise FommError(*_PORTRAITS[faces])
    if faces == (videos is not None):
        raise FommError(*_VIDEOS[faces])
    from fomm_cli.data.synth import SynthSettings

    settings = SynthSettings(
        seed=seed,
        size=size,
        frames=frames or (16 if faces else 32),
        rate=rate or (3.0 if faces else 10.0),
        clips=1 if faces or clips is None else clips,
        still_head=still_head,
        still_pose=still_pose,
    )
    report: Any
    columns = (TextColumn("Drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if faces:
            from fomm_cli.data.portraits.filmstrips import synthesize_portraits
            from fomm_cli.data.portraits.sittings import find_sittings

            sittings = find_sittings(portraits, points, person)
            workers = jobs or os.cpu_count() or 1
            each = 4 if clips is None else clips
            report = synthesize_portraits(sittings, out, settings, each, pairs, test, workers, force, progress)
        else:
            from fomm_cli.data.synth import synthesize
            from fomm_cli.device import resolve

            assert videos is not None
            report = synthesize(out, videos, settings, pairs, test, force, resolve(device), progress)
    if as_json:
        typer.echo(json.dumps({"out": str(out), **report._asdict()}))
        return
    pairs_too = f", {counted(report.pairs, 'pair')}" if report.pairs else ""
    typer.echo(f"{out}: {counted(report.train, 'training clip')}, {counted(report.test, 'test clip')}{pairs_too}")
    if report.kept:
        typer.echo(f"{report.kept} were there already.", err=True)
    if faces and report.rejected:
        typer.echo(f"{counted(report.rejected, 'portrait')} rejected: {out / 'rejected.csv'} says why.", err=True)


_PORTRAITS = {
    True: ("The set portraits is made of pictures of people.", "Name their folder: --portraits DIR."),
    False: ("The set toon needs no portraits.", "Leave --portraits out, or ask for: fomm dataset synth portraits"),
}
_VIDEOS = {
    True: ("The number of clips of portraits follows from the people.", "Ask for --clips of each instead of --videos."),
    False: ("How many clips?", "Say it with --videos N."),
}

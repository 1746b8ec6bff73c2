"""`fomm demo`: the bundled portrait, driven by the bundled clip."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from fomm_cli.commands.animate import DEVICE, ENGINE, FORCE, PRECISION, WEIGHTS, EngineName, Precision
from fomm_cli.errors import FommError


def demo(
    folder: Path = typer.Option(Path("demo"), "-o", "--output", metavar="DIR", help="Where the two clips go."),
    weights: str | None = WEIGHTS,
    device: str = DEVICE,
    engine: EngineName = ENGINE,
    precision: Precision = PRECISION,
    force: bool = FORCE,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document instead of the paths."),
) -> None:
    """Animate the bundled portrait: result.mp4 and side-by-side.mp4.

    Everything needed is in the package; nothing is downloaded.
    """
    from rich.console import Console

    from fomm_cli.animate.clip import Output, Settings, animate_clip
    from fomm_cli.commands.animate import document, open_engine, tell
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.files.disk import ASSETS

    outputs = [Output(folder / "result.mp4"), Output(folder / "side-by-side.mp4", "side-by-side")]
    for output in outputs:
        if Path(output.path).exists() and not force:
            raise FommError(f"{output.path} exists already.", "Choose another folder with -o, or use --force.")
    console = Console(stderr=True, highlight=False)
    runner = open_engine(weights, device, engine, precision, console)
    # The clip begins as the portrait looks, mouth shut; where its head is nearest to the portrait's, the mouth is open.
    settings = Settings(anchor="first", force=force)
    with frame_progress(console) as progress:
        report = animate_clip(runner, ASSETS / "portrait.png", ASSETS / "driving.mp4", outputs, settings, progress)
    tell(report, console)
    if as_json:
        typer.echo(json.dumps(document(report, runner, "relative"), indent=2))
    else:
        for output in outputs:
            typer.echo(str(output.path))

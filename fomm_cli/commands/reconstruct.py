"""`fomm reconstruct`: one clip from its first frame."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

import typer

from fomm_cli.commands.options import Crf, Device, Force, Json, Offline
from fomm_cli.errors import counted


class Layout(StrEnum):
    RESULT = "result"
    SIDE_BY_SIDE = "side-by-side"


def reconstruct(
    video: Path = typer.Argument(..., metavar="VIDEO", help="A video, GIF, folder, film strip or packed clip."),
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="OUT", help="mp4, webm, mov, mkv, gif, or no suffix: a folder of png."
    ),
    weights: str | None = typer.Option(None, "--weights", "-w", metavar="NAME|FILE", help="See `fomm weights list`."),
    layout: Layout = typer.Option(Layout.SIDE_BY_SIDE, "--layout", help="side-by-side: clip, result, error."),
    crf: Crf = 18,
    batch: int = typer.Option(8, "--batch", metavar="N", min=1, help="Frames at once."),
    device: Device = "auto",
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Rebuild VIDEO from its first frame and the motion the weights see in it, and say how well.

    Numbers are measured on the frames as the network makes them, the first included, before the output is encoded.
    Without -o the output is VIDEO-reconstructed.mp4 in the current folder.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate.metrics import METRICS
    from fomm_cli.evaluate.reconstruct import reconstruct as rebuild
    from fomm_cli.files.disk import check_free
    from fomm_cli.weights.catalogue import DEFAULT

    path = output if output is not None else Path(f"{video.stem or video.resolve().stem}-reconstructed.mp4")
    if path.suffix:
        check_free(path, force)
    keep_freed_memory()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("rebuilding", total=None)
        done = rebuild(
            video,
            path,
            weights or DEFAULT,
            layout=layout.value,
            crf=crf,
            batch=batch,
            device=device,
            force=force,
            progress=lambda count: bar.update(task, completed=count),
        )
    if as_json:
        about = {"output": str(path), "weights": done.weights, "frames": done.frames}
        typer.echo(json.dumps({**about, **done.numbers}, indent=2, allow_nan=False))
        return
    numbers = [f"{METRICS[name].title} {METRICS[name].text(value)}" for name, value in done.numbers.items()]
    typer.echo(f"{path}\n{' · '.join([counted(done.frames, 'frame'), *numbers])}")

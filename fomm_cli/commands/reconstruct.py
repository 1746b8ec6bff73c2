"""`fomm reconstruct`: one clip from its first frame."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

import typer

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
    crf: int = typer.Option(18, "--crf", min=0, max=63, help="Video quality; lower is better and larger."),
    batch: int = typer.Option(8, "--batch", metavar="N", min=1, help="Frames at once."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps."),
    force: bool = typer.Option(False, "--force", help="Overwrite an existing output."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document instead of the path and numbers."),
) -> None:
    """Rebuild VIDEO from its first frame and the motion the weights see in it, and say how well.

    Numbers are measured on the frames as the network makes them, the first included, before the output is encoded.
    Without -o the output is VIDEO-reconstructed.mp4 in the current folder.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fomm_cli import device as devices
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate.clip import reconstruct as run
    from fomm_cli.evaluate.measures import DEFAULT, Measures
    from fomm_cli.evaluate.methods import methods
    from fomm_cli.files.disk import check_free
    from fomm_cli.model.pixels import psnr
    from fomm_cli.weights.catalogue import DEFAULT as BUNDLED

    path = output if output is not None else Path(f"{video.stem or video.resolve().stem}-reconstructed.mp4")
    if path.suffix:
        check_free(path, force)
    keep_freed_memory()
    (method,) = methods([weights or BUNDLED], [], device)
    assert method.size is not None
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("rebuilding", total=None)
        done = run(
            video,
            path,
            method,
            Measures(DEFAULT),
            method.size,
            layout.value,
            crf,
            batch,
            devices.resolve(device),
            force,
            lambda count: bar.update(task, completed=count),
        )
    error = done.tally.mean("squared")
    found = {
        "l1": done.tally.mean("l1"),
        "psnr": psnr(error) if error else None,
        "ssim": done.tally.mean("ssim"),
    }
    if as_json:
        typer.echo(json.dumps({"output": str(path), "weights": method.name, "frames": done.frames, **found}, indent=2))
        return
    numbers = " · ".join(f"{name.upper()} {value:.4f}" for name, value in found.items() if value is not None)
    typer.echo(f"{path}\n{counted(done.frames, 'frame')} · {numbers}")

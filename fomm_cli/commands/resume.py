"""`fomm resume`: go on with an interrupted run, exactly."""

from __future__ import annotations

from pathlib import Path

import typer


def resume(
    name: str = typer.Argument(..., metavar="RUN", help="The run's folder, name or number, or `last`."),
    runs: Path = typer.Option(Path("runs"), "--runs", metavar="DIR", help="Where run folders are."),
    data: Path | None = typer.Option(None, "--data", metavar="DIR", help="Where the data set is now, if it was moved."),
    perceptual_weights: Path | None = typer.Option(
        None, "--perceptual-weights", metavar="FILE", help="The perceptual network's file, if it was moved."
    ),
    device: str | None = typer.Option(None, "--device", help="Another device than before."),
    workers: int | None = typer.Option(None, "--workers", min=0, help="Another number of reading processes."),
    gpus: int = typer.Option(1, "--gpus", metavar="N", min=1, help="Processes, one a GPU."),
    steps: int | None = typer.Option(None, "--steps", metavar="N", min=1, help="Stop after N steps in all."),
) -> None:
    """Go on with a run from its last checkpoint.

    On a processor the losses that follow are those of a run that was never interrupted, bit for bit.
    """
    from dataclasses import replace

    from fomm_cli.commands.train import carry_out, in_several_processes
    from fomm_cli.train.run import find

    if gpus > 1:
        in_several_processes(gpus)
        return
    run = find(runs, name)
    changes: dict[str, object] = {}
    if data is not None:
        changes["data"] = str(data.resolve())
    if perceptual_weights is not None:
        changes["perceptual_weights"] = str(perceptual_weights.resolve())
    if device is not None:
        changes["device"] = device
    if workers is not None:
        changes["workers"] = workers
    options = replace(run.read_options(), **changes)  # type: ignore[arg-type]
    carry_out(run.read_config(), options, lambda: run, resume=True, steps=steps)

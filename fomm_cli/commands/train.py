"""`fomm train`: train a network from a preset; `fomm resume`: go on with an interrupted run, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fomm_cli.commands.options import NONE, Device, Json, Offline, RunName, Runs, Set

if TYPE_CHECKING:
    from fomm_cli.train.run import Run


def train(
    source: str = typer.Argument(
        ..., metavar="PRESET|FILE|avd", help="A preset (`fomm config list`), a YAML file, or avd: the second stage."
    ),
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    overrides: Set = NONE,
    init: str | None = typer.Option(None, "--init", metavar="WEIGHTS", help="Start from these weights."),
    perceptual_weights: Path | None = typer.Option(
        None, "--perceptual-weights", metavar="FILE", help="The perceptual network's file; else it is downloaded."
    ),
    runs: Runs = Path("runs"),
    seed: int = typer.Option(0, "--seed", help="Of the first weights and of every draw."),
    device: Device = "auto",
    workers: int | None = typer.Option(None, "--workers", min=0, help="Processes that read pairs."),
    memory: float = typer.Option(
        1.0, "--memory", metavar="GIB", min=0, help="Decoded frames to keep of videos and strips."
    ),
    steps: int | None = typer.Option(
        None, "--steps", metavar="N", min=1, help="Stop after N steps, as if interrupted."
    ),
    checkpoint_minutes: float = typer.Option(10.0, "--checkpoint-minutes", metavar="MIN", min=0, help="0: by steps."),
    checkpoint_steps: int = typer.Option(0, "--checkpoint-steps", metavar="N", min=0, help="0: by time."),
    validate_epochs: int = typer.Option(1, "--validate-epochs", metavar="N", min=0, help="0: never."),
    validate_clips: int = typer.Option(50, "--validate-clips", metavar="N", min=0, help="0: all."),
    log_every: int = typer.Option(10, "--log-every", metavar="N", min=1, help="Steps between writing metrics."),
    gpus: int = typer.Option(
        1, "--gpus", metavar="N", min=1, help="Processes, one a GPU (with --device cpu: that share the processor)."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan: steps, memory, time; train nothing."),
    as_json: Json = False,
    offline: Offline = False,
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Write TensorBoard events too."),
) -> None:
    """Train a network.

    Everything scientific stands in the preset and is changed with --set; the flags say where and how. `avd` goes on
    from --init: it trains the network of `animate --mode avd`, in families that have one, by the weights' own settings.
    """
    from rich.console import Console

    from fomm_cli.config import reading as configs
    from fomm_cli.train.run import Options
    from fomm_cli.train.start import second_stage

    if gpus > 1 and not dry_run:
        in_several_processes(gpus)
        return
    if source == "avd":
        config = second_stage(init, overrides)
    else:
        config, ignored = configs.read(source, overrides)
        if ignored:
            typer.echo(f"Ignored, without meaning here: {', '.join(ignored)}", err=True)
    options = Options(
        data=str(data),
        seed=seed,
        device=device,
        workers=workers,
        memory=memory,
        perceptual_weights=str(perceptual_weights) if perceptual_weights else None,
        init=init,
        checkpoint_minutes=checkpoint_minutes,
        checkpoint_steps=checkpoint_steps,
        validate_epochs=validate_epochs,
        validate_clips=validate_clips,
        log_every=log_every,
        tensorboard=tensorboard,
    )
    if dry_run:
        import json

        from fomm_cli.train.plan import plan

        found = plan(config, options)
        typer.echo(json.dumps(found.as_dict()) if as_json else found.text())
        return
    from fomm_cli.train.loop import train as carry_out

    _tell(carry_out(config, options, runs, steps, Console(stderr=True)))


def resume(
    name: RunName,
    runs: Runs = Path("runs"),
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

    from rich.console import Console

    from fomm_cli.train.run import find

    if gpus > 1:
        in_several_processes(gpus)
        return
    run = find(runs, name)
    changes: dict[str, object] = {}
    if data is not None:
        changes["data"] = str(data)
    if perceptual_weights is not None:
        changes["perceptual_weights"] = str(perceptual_weights)
    if device is not None:
        changes["device"] = device
    if workers is not None:
        changes["workers"] = workers
    options = replace(run.read_options(), **changes)  # type: ignore[arg-type]
    from fomm_cli.train.loop import resume as carry_on

    _tell(carry_on(run, options, steps, Console(stderr=True)))


def _tell(run: Run) -> None:
    """The run's folder on stdout: once, however many processes train."""
    from fomm_cli.processes import from_environment

    if from_environment().first:
        typer.echo(str(run.folder))


def in_several_processes(count: int) -> None:
    """The same command line in `count` processes."""
    import sys

    from fomm_cli.train.distributed import launch

    arguments = list(sys.argv[1:])
    for index, word in enumerate(arguments):
        if word == "--gpus":
            del arguments[index : index + 2]
            break
        if word.startswith("--gpus="):
            del arguments[index]
            break
    code = launch(count, arguments)
    if code:
        raise typer.Exit(code)

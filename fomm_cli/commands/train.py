"""`fomm train`: train a network from a preset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fomm_cli.config.schema import Config
    from fomm_cli.train.run import Options, Run

SET = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key, e.g. train.batch_size=8. Repeatable.")


def train(
    source: str = typer.Argument(..., metavar="PRESET|FILE", help="A preset (`fomm config list`) or a YAML file."),
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    overrides: list[str] = SET,
    init: str | None = typer.Option(None, "--init", metavar="WEIGHTS", help="Start from these weights."),
    perceptual_weights: Path | None = typer.Option(
        None, "--perceptual-weights", metavar="FILE", help="The perceptual network's file; else it is downloaded."
    ),
    runs: Path = typer.Option(Path("runs"), "--runs", metavar="DIR", help="Where run folders are made."),
    seed: int = typer.Option(0, "--seed", help="Of the first weights and of every draw."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps."),
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
    as_json: bool = typer.Option(False, "--json", help="Print the plan as JSON."),
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Write TensorBoard events too."),
) -> None:
    """Train a network.

    Everything scientific stands in the preset and is changed with --set; the flags say where and how.
    """
    from fomm_cli.config import reading as configs
    from fomm_cli.train.run import Options, create

    if gpus > 1 and not dry_run:
        in_several_processes(gpus)
        return
    config, ignored = configs.read(source, overrides)
    if ignored:
        typer.echo(f"Ignored, without meaning here: {', '.join(ignored)}", err=True)
    options = Options(
        data=str(data.resolve()),
        seed=seed,
        device=device,
        workers=workers,
        memory=memory,
        perceptual_weights=str(perceptual_weights.resolve()) if perceptual_weights else None,
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
    carry_out(config, options, lambda: create(runs, config, options), resume=False, steps=steps)


def carry_out(config: Config, options: Options, make: Callable[[], Run], resume: bool, steps: int | None) -> None:
    """Join the other processes, if any, and train; the first of them makes the run folder and prints it."""
    import shutil
    from contextlib import nullcontext

    from rich.console import Console

    from fomm_cli.device import resolve
    from fomm_cli.errors import FommError
    from fomm_cli.processes import from_environment, joined, own_device, share
    from fomm_cli.train.loop import train as run_training
    from fomm_cli.train.run import Run, claimed

    world = from_environment()
    with joined(world, own_device(resolve(options.device), world)):
        run = Run(Path(share(str(make().folder) if world.first else "", world)))
        try:
            with claimed(run) if world.first else nullcontext():
                run_training(run, config, options, world, resume, Console(stderr=True), steps)
        except FommError:
            if world.first and not resume and not run.metrics.is_file():
                shutil.rmtree(run.folder, ignore_errors=True)  # nothing was trained: leave no empty run behind
            raise
        if world.first:
            typer.echo(str(run.folder))


def in_several_processes(count: int) -> None:
    """The same command line in `count` processes."""
    import sys

    from fomm_cli.train.distributed import launch

    arguments = list(sys.argv[1:])
    for place, word in enumerate(arguments):
        if word == "--gpus":
            del arguments[place : place + 2]
            break
        if word.startswith("--gpus="):
            del arguments[place]
            break
    code = launch(count, arguments)
    if code:
        raise typer.Exit(code)

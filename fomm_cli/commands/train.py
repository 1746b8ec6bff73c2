"""`fomm train`: train a network from a preset."""

from __future__ import annotations

from pathlib import Path

import typer

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
    memory: float = typer.Option(1.0, "--memory", metavar="GIB", min=0, help="Decoded frames of videos and strips to keep."),
    steps: int | None = typer.Option(None, "--steps", metavar="N", min=1, help="Stop after N steps, as if interrupted."),
    checkpoint_minutes: float = typer.Option(10.0, "--checkpoint-minutes", metavar="MIN", min=0, help="0 = by steps only."),
    checkpoint_steps: int = typer.Option(0, "--checkpoint-steps", metavar="N", min=0, help="0 = by time only."),
    validate_epochs: int = typer.Option(1, "--validate-epochs", metavar="N", min=0, help="Epochs between validations; 0 = none."),
    validate_clips: int = typer.Option(50, "--validate-clips", metavar="N", min=0, help="Test clips to validate on; 0 = all."),
    log_every: int = typer.Option(10, "--log-every", metavar="N", min=1, help="Steps between writing metrics."),
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Write TensorBoard events too."),
) -> None:
    """Train a network.

    Everything scientific stands in the preset and is changed with --set; the flags say where and how.
    """
    from rich.console import Console

    from fomm_cli import config as configs
    from fomm_cli.train.loop import train as run_training
    from fomm_cli.train.run import Options, create

    config = configs.load(source, overrides)
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
    run = create(runs, config, options)
    run_training(run, config, options, console=Console(stderr=True), steps=steps)
    typer.echo(str(run.folder))

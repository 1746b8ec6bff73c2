"""`fomm train`: train a network from a preset; `fomm resume`: go on with an interrupted run, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fomm_cli.commands.options import NONE, Device, Json, LoggerName, Offline, RunName, Runs, Set
from fomm_cli.errors import FommError, UsageError

if TYPE_CHECKING:
    from fomm_cli.config.schema import Config
    from fomm_cli.train.run import Options, Run


def train(
    source: str = typer.Argument(
        ..., metavar="PRESET|FILE|avd", help="A preset (`fomm config list`), a YAML file, or avd: the second stage."
    ),
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    overrides: Set = NONE,
    split: Path | None = typer.Option(
        None, "--split", metavar="FILE", help="Names of the test clips, one a line; all others train."
    ),
    init: str | None = typer.Option(None, "--init", metavar="WEIGHTS", help="Start from these weights."),
    perceptual_weights: Path | None = typer.Option(
        None, "--perceptual-weights", metavar="FILE", help="The perceptual network's file; else it is downloaded."
    ),
    runs: Runs = Path("runs"),
    seed: int = typer.Option(0, "--seed", help="Of the first weights and of every draw."),
    seeds: str | None = typer.Option(None, "--seeds", metavar="N,N,...", help="One run after another, one a seed."),
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
    keep: int = typer.Option(2, "--keep", metavar="N", min=1, help="Checkpoints to keep, the last among them."),
    milestone_epochs: int = typer.Option(
        0, "--milestone-epochs", metavar="N", min=0, help="Every N epochs a checkpoint that stays."
    ),
    validate_epochs: int = typer.Option(1, "--validate-epochs", metavar="N", min=0, help="0: never."),
    validate_clips: int = typer.Option(50, "--validate-clips", metavar="N", min=0, help="0: all."),
    validate_metrics: str = typer.Option(
        "l1,psnr,lpips,akd", "--validate-metrics", metavar="LIST", help="What lacks its network is left out."
    ),
    detectors: str = typer.Option("face", "--detectors", metavar="NAME", help="Of AKD, as for `fomm eval`."),
    log_every: int = typer.Option(10, "--log-every", metavar="N", min=1, help="Steps between writing metrics."),
    gpus: int = typer.Option(
        1, "--gpus", metavar="N", min=1, help="Processes, one a GPU (with --device cpu: that share the processor)."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan: steps, memory, time; train nothing."),
    as_json: Json = False,
    offline: Offline = False,
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Write TensorBoard events too."),
    logger: LoggerName | None = typer.Option(None, "--logger", help="Tell Weights & Biases too."),
) -> None:
    """Train a network.

    Everything scientific stands in the preset and is changed with --set; the flags say where and how. `avd` goes on
    from --init: it trains the network of `animate --mode avd`, in families that have one, by the weights' own settings.
    """
    from fomm_cli.config import reading as configs
    from fomm_cli.train.run import Options
    from fomm_cli.train.start import second_stage

    several = None if seeds is None else _seeds(seeds)
    if gpus > 1 and not dry_run:
        each: list[int | None] = [None] if several is None else [*several]
        for one in each:
            in_several_processes(gpus, one)
        return
    if source == "avd":
        config = second_stage(init, overrides)
    else:
        config, ignored = configs.read(source, overrides)
        if ignored:
            typer.echo(f"Ignored, without meaning here: {', '.join(ignored)}", err=True)
    options = Options(
        data=str(data),
        split=str(split) if split else None,
        seed=seed if several is None else several[0],
        device=device,
        workers=workers,
        memory=memory,
        perceptual_weights=str(perceptual_weights) if perceptual_weights else None,
        init=init,
        checkpoint_minutes=checkpoint_minutes,
        checkpoint_steps=checkpoint_steps,
        keep=keep,
        milestone_epochs=milestone_epochs,
        validate_epochs=validate_epochs,
        validate_clips=validate_clips,
        validate_metrics=validate_metrics,
        detectors=detectors,
        log_every=log_every,
        tensorboard=tensorboard,
        logger=logger.value if logger else None,
    )
    if dry_run:
        import json

        from fomm_cli.train.plan import plan

        found = plan(config, options)
        typer.echo(json.dumps(found.as_dict()) if as_json else found.text())
        return
    _train(config, options, several or [seed], runs, steps)


def _train(config: Config, options: Options, seeds: list[int], runs: Path, steps: int | None) -> None:
    """A run a seed; one that fails does not take the others with it."""
    from dataclasses import replace

    from rich.console import Console

    from fomm_cli.processes import from_environment
    from fomm_cli.train import logs, review
    from fomm_cli.train.loop import train as carry_out

    if len(seeds) > 1 and from_environment().size > 1:
        raise UsageError("torchrun's processes train one run.", "Call it for each --seed, or use --gpus N --seeds.")

    best, failed = {}, False
    for seed in seeds:
        try:
            run = carry_out(config, replace(options, seed=seed), runs, steps, Console(stderr=True))
        except FommError as error:
            if len(seeds) == 1:
                raise
            failed = True
            typer.echo(f"Seed {seed}: {error}", err=True)
            continue
        _tell(run)
        lowest = review.best(logs.read(run.validation))
        if lowest is not None:
            best[seed] = lowest
    if len(best) > 1:
        from statistics import mean, stdev

        each = ", ".join(f"{seed}: {value:.4f}" for seed, value in best.items())
        typer.echo(
            f"Best validation L1 over {len(best)} seeds: {mean(best.values()):.4f}, standard deviation "
            f"{stdev(best.values()):.4f} ({each})",
            err=True,
        )
    if failed:
        raise typer.Exit(1)


def _seeds(text: str) -> list[int]:
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no list of whole numbers, such as 0,1,2.", param_hint="--seeds"
        ) from error
    return list(dict.fromkeys(found))


def resume(
    name: RunName,
    runs: Runs = Path("runs"),
    data: Path | None = typer.Option(None, "--data", metavar="DIR", help="Where the data set is now, if it was moved."),
    accept_data: bool = typer.Option(False, "--accept-data", help="Go on although the data set is another one."),
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

    _tell(carry_on(run, options, steps, Console(stderr=True), accept_data))


def _tell(run: Run) -> None:
    """The run's folder on stdout: once, however many processes train."""
    from fomm_cli.processes import from_environment

    if from_environment().first:
        typer.echo(str(run.folder))


def in_several_processes(count: int, seed: int | None = None) -> None:
    """The same command line in `count` processes, of one of its --seeds."""
    import sys

    from fomm_cli.train.distributed import launch

    arguments = _without(_without(sys.argv[1:], "--gpus"), "--seeds")
    code = launch(count, arguments if seed is None else [*arguments, "--seed", str(seed)])
    if code:
        raise typer.Exit(code)


def _without(arguments: list[str], option: str) -> list[str]:
    """A command line without an option and its value."""
    for index, word in enumerate(arguments):
        if word == option:
            return arguments[:index] + arguments[index + 2 :]
        if word.startswith(f"{option}="):
            return arguments[:index] + arguments[index + 1 :]
    return list(arguments)

"""`fomm runs`: list trainings, show one, draw their curves, export a checkpoint's weights."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from fomm_cli.commands.options import Force, Json, RunName, Runs, StoreAs
from fomm_cli.errors import FommError, counted

runs_app = typer.Typer(no_args_is_help=True, help="Trainings: list, show, plot, export.")


@runs_app.command("list")
def list_runs(runs: Runs = Path("runs"), as_json: Json = False) -> None:
    """List the runs: how far they are and how good."""
    from rich.console import Console
    from rich.table import Table

    from fomm_cli.train.review import summary
    from fomm_cli.train.run import everything

    there, found = everything(runs), []
    for run in there:
        try:
            found.append(summary(run))
        except FommError as error:  # one run of another version must not hide the others
            typer.echo(f"{run.folder.name} cannot be read: {error.what}", err=True)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    if not there:
        typer.echo(f"There are no runs in {runs}.", err=True)
    if not found:
        return
    table = Table(
        "run", "state", "epoch", "step", "loss", "validation L1", "best", "of copying", box=None, pad_edge=False
    )
    for one in found:
        validation = one["validation"] or {}
        table.add_row(
            one["run"],
            one["state"],
            f"{one['epoch']}/{one['epochs']}",
            str(one["step"]),
            _number(one["loss"]),
            _number(validation.get("l1")),
            _number(one["best_l1"]),
            _number(validation.get("copy_l1")),
        )
    Console().print(table)


@runs_app.command()
def show(name: RunName, runs: Runs = Path("runs"), as_json: Json = False) -> None:
    """Show one run: settings, environment, the last losses, health."""
    from fomm_cli.train.review import summary
    from fomm_cli.train.run import find

    found = summary(find(runs, name), full=True)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            typer.echo(key)
            for inner, item in value.items():
                typer.echo(f"  {inner:24} {_number(item) if isinstance(item, float) else item}")
        else:
            typer.echo(f"{key:26} {_number(value) if isinstance(value, float) else value}")


@runs_app.command()
def plot(
    names: list[str] = typer.Argument(..., metavar="RUN...", help="One run, or several to compare."),
    output: Path = typer.Option(Path("curves.png"), "--output", "-o", metavar="PNG", help="The picture."),
    runs: Runs = Path("runs"),
    keys: list[str] = typer.Option([], "--key", metavar="KEY", help="Only this curve, e.g. perceptual. Repeatable."),
    window: int = typer.Option(50, "--window", metavar="STEPS", min=1, help="Steps averaged to one point."),
    force: Force = False,
) -> None:
    """Draw the curves of losses, keypoint spread and validation."""
    from fomm_cli.media.image import write_image
    from fomm_cli.train.review import plot as draw_curves
    from fomm_cli.train.run import find

    picture = draw_curves([find(runs, name) for name in names], keys, window)
    write_image(output, picture, force)
    typer.echo(str(output))


@runs_app.command()
def export(
    name: RunName,
    output: Path = typer.Option(..., "--output", "-o", metavar="FILE", help="The .safetensors file to write."),
    runs: Runs = Path("runs"),
    best: bool = typer.Option(False, "--best", help="The best validated checkpoint instead of the last."),
    step: int | None = typer.Option(
        None, "--step", metavar="N", min=1, help="A checkpoint that was kept, by its step."
    ),
    store: StoreAs = None,
    force: Force = False,
) -> None:
    """Write a checkpoint's weights as one self-sufficient file, while the run goes on or after it."""
    import torch

    from fomm_cli.train.finish import export as write
    from fomm_cli.train.run import find

    if best and step is not None:
        raise typer.BadParameter("--best is a checkpoint of its own.", param_hint="--step")
    found = write(
        find(runs, name),
        output,
        best=best,
        dtype=getattr(torch, store) if store else None,
        force=force,
        step=step,
    )
    told = f"Weights of step {found.step}, after {counted(found.epoch, 'whole epoch')}. {found.note}"
    typer.echo(told.rstrip(), err=True)
    typer.echo(str(output))


@runs_app.command()
def compare(
    one: RunName,
    other: str = typer.Argument(..., metavar="RUN", help="The run to compare it with."),
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show what two runs were told differently, and what came of it."""
    from rich.console import Console
    from rich.table import Table

    from fomm_cli.train.compare import compare as run
    from fomm_cli.train.run import find

    pair = find(runs, one), find(runs, other)
    found = run(*pair)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    names = [side.folder.name for side in pair]
    if names[0] == names[1]:
        names = [str(side.folder) for side in pair]
    table = Table("", *names, "difference", box=None, pad_edge=False)
    for title, rows in (
        ("config", found["config"]),
        ("options", found["options"]),
        ("environment", found["environment"]),
        (f"means of the last 50 steps to step {found['step']}, which both have made", found["at_step"]),
        ("last validation until there", found["validation"]),
        ("best validation", found["best"]),
    ):
        if rows:
            table.add_row(title, style="bold")
        for key, (a, b) in rows.items():
            table.add_row(f"  {key}", _value(a), _value(b), _difference(a, b))
    Console(soft_wrap=True).print(table)


def _value(value: object) -> str:
    return _number(value) if isinstance(value, float) else "-" if value is None else str(value)


def _difference(one: object, other: object) -> str:
    if isinstance(one, bool) or not (isinstance(one, int | float) and isinstance(other, int | float)):
        return ""
    return f"{other - one:+.4g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

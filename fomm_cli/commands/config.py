"""`fomm config`: list the presets, show one in full, check a file."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from fomm_cli.commands.options import NONE, Force, Json, Set

config_app = typer.Typer(no_args_is_help=True, help="Presets and configuration files: list, show, check.")


@config_app.command("list")
def list_presets(as_json: Json = False) -> None:
    """List the shipped presets and what each is for."""
    from rich.console import Console
    from rich.table import Table

    from fomm_cli.config.reading import load, presets

    found = [load(name) for name in presets()]
    if as_json:
        typer.echo(json.dumps([{"name": config.name, "description": config.description} for config in found], indent=1))
        return
    table = Table("preset", "size", "for", box=None, pad_edge=False)
    for config in found:
        height, width = config.data.frame_shape
        table.add_row(config.name, f"{width}x{height}", config.description)
    Console().print(table)


@config_app.command()
def show(
    source: str = typer.Argument(..., metavar="PRESET|FILE", help="A preset, or a YAML file of ours or of upstream's."),
    overrides: Set = NONE,
    output: Path | None = typer.Option(None, "--output", "-o", metavar="FILE", help="Write it there instead."),
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Show a configuration with every key, as YAML that can be edited and given back."""
    from fomm_cli.config.reading import read
    from fomm_cli.files.disk import write_text

    config, ignored = read(source, overrides)
    _say_ignored(ignored)
    text = config.model_dump_json(indent=1) + "\n" if as_json else config.to_yaml()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text, force=force)
        typer.echo(f"{output}")


@config_app.command()
def check(
    files: list[str] = typer.Argument(..., metavar="PRESET|FILE...", help="Presets or YAML files."),
    overrides: Set = NONE,
) -> None:
    """Check configurations: unknown keys, wrong values, and what of an upstream file is ignored.

    All are checked, also after one that is wrong; then the exit code is 1.
    """
    from fomm_cli.config.reading import read
    from fomm_cli.errors import FommError

    wrong = 0
    for source in files:
        try:
            config, ignored = read(source, overrides)
        except FommError as error:
            if len(files) == 1:
                raise
            typer.echo(f"{source}: wrong. {' '.join(filter(None, (error.what, error.hint)))}")
            wrong += 1
            continue
        _say_ignored(ignored)
        height, width = config.data.frame_shape
        typer.echo(f"{source}: fine ({config.model.points} points, {width}x{height})")
    if wrong:
        raise FommError(f"{wrong} of {len(files)} configurations are wrong.")


def _say_ignored(ignored: list[str]) -> None:
    if ignored:
        typer.echo(f"Ignored, without meaning here: {', '.join(ignored)}", err=True)

"""`fomm bench`: measurements, one file each."""

from __future__ import annotations

import typer

from fomm_cli.commands.bench_animate import animate
from fomm_cli.commands.bench_data import data
from fomm_cli.commands.bench_train import train

bench_app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="Measure on this machine: data, animation, training.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench_app.command()(animate)
bench_app.command()(data)
bench_app.command()(train)

"""`fomm dataset`: make, check, pack and fetch data sets; each verb stands in its own file."""

from __future__ import annotations

import typer

from fomm_cli.commands.dataset_check import check
from fomm_cli.commands.dataset_crop import crop
from fomm_cli.commands.dataset_fetch import fetch
from fomm_cli.commands.dataset_pack import pack
from fomm_cli.commands.dataset_status import status
from fomm_cli.commands.dataset_synth import synth

dataset_app = typer.Typer(no_args_is_help=True, help="Data sets: draw cartoon faces; fetch, check and pack clips.")

dataset_app.command()(synth)
dataset_app.command()(check)
dataset_app.command()(pack)
dataset_app.command()(fetch)
dataset_app.command()(status)
dataset_app.command()(crop)

"""`fomm eval`: measure weights. Each of its verbs has a file of its own."""

from __future__ import annotations

import typer

from fomm_cli.commands.eval_animation import animation
from fomm_cli.commands.eval_detectors import detectors
from fomm_cli.commands.eval_reconstruction import reconstruction
from fomm_cli.commands.eval_toon import toon

eval_app = typer.Typer(
    name="eval",
    no_args_is_help=True,
    help="Measure weights: reconstruction, animation, and what the metrics are made of.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
eval_app.command()(reconstruction)
eval_app.command()(animation)
eval_app.command()(toon)
eval_app.command()(detectors)

"""The `fomm` command: every verb, one file each, registered here.

Nothing heavy is imported on the way to `fomm --help`: a command imports the rooms it needs inside its function.
"""

from __future__ import annotations

import os
import signal
import sys

import typer

from fomm_cli.commands.animate import animate, demo
from fomm_cli.commands.batch import batch
from fomm_cli.commands.bench import bench_app
from fomm_cli.commands.config import config_app
from fomm_cli.commands.dataset import dataset_app
from fomm_cli.commands.doctor import doctor
from fomm_cli.commands.eval import eval_app
from fomm_cli.commands.export import export
from fomm_cli.commands.motion import motion_app
from fomm_cli.commands.progress import Downloads
from fomm_cli.commands.reconstruct import reconstruct
from fomm_cli.commands.runs import runs_app
from fomm_cli.commands.train import resume, train
from fomm_cli.commands.weights import weights_app
from fomm_cli.errors import FommError
from fomm_cli.files.listener import listener
from fomm_cli.version import __version__

app = typer.Typer(
    name="fomm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make a still picture move: animate, train, evaluate and export motion models.",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"fomm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options that stand before the verb."""


# The verbs, in the order `fomm --help` shows them.
app.command()(animate)
app.command()(demo)
app.add_typer(motion_app, name="motion")
app.command()(batch)
app.command()(reconstruct)
app.add_typer(eval_app, name="eval")
app.add_typer(weights_app, name="weights")
app.add_typer(dataset_app, name="dataset")
app.add_typer(bench_app, name="bench")
app.add_typer(config_app, name="config")
app.command()(train)
app.command()(export)
app.command()(resume)
app.add_typer(runs_app, name="runs")
app.command()(doctor)


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM."""

    def terminate(signum: int, frame: object) -> None:
        raise SystemExit(128 + signum)

    try:
        previous = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # only the main thread may install handlers; embedded use keeps its own
        previous = None
    downloads, offline = Downloads(), os.environ.get("HF_HUB_OFFLINE")
    heard = listener.set(downloads)
    try:
        app(args=argv, standalone_mode=True)
    except FommError as error:
        _explain(error)
        return 1
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except SystemExit as stop:
        # typer turns Ctrl-C into its own Exit(130) without a word.
        if isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt):
            typer.echo("Interrupted.", err=True)
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    finally:
        downloads.close()
        listener.reset(heard)
        os.environ.pop("HF_HUB_OFFLINE", None)  # --offline is of one command
        os.environ.update({} if offline is None else {"HF_HUB_OFFLINE": offline})
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    return 0


def _explain(error: FommError) -> None:
    typer.secho(f"Error: {error.what}", fg="red", err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)


def run() -> None:
    """The console script."""
    sys.exit(main())

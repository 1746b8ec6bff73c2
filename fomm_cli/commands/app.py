"""The `fomm` command: every verb, one file each, registered here.

Nothing heavy is imported on the way to `fomm --help`: a command imports the rooms it needs inside its function.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import sys
from typing import Any

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
from fomm_cli.commands.provenance import provenance
from fomm_cli.commands.reconstruct import reconstruct
from fomm_cli.commands.runs import runs_app
from fomm_cli.commands.train import resume, train
from fomm_cli.commands.web import web
from fomm_cli.commands.weights import weights_app
from fomm_cli.errors import FommError, UsageError
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
app.command()(web)
app.command()(provenance)
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


@functools.cache
def command() -> Any:
    """All of it as one command, made once: of hundreds of options, that takes as long as many a verb."""
    return typer.main.get_command(app)


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.

    A terminal that closes (SIGHUP, 129) ends a command as SIGTERM does, unless it was started to live on (nohup).
    """

    def terminate(signum: int, frame: object) -> None:
        raise SystemExit(128 + signum)

    previous: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        with contextlib.suppress(ValueError):  # only the main thread may install handlers; embedded use keeps its own
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, terminate)
    downloads, offline = Downloads(), os.environ.get("HF_HUB_OFFLINE")
    heard = listener.set(downloads)
    try:
        try:
            command()(args=argv, standalone_mode=True)
        finally:
            sys.stdout.flush()  # a full disk behind it is an error of this command, not of Python's end
    except FommError as error:
        _explain(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:
        from fomm_cli.files.disk import explain_os_error

        if error.errno is None or (error.filename is None and error.errno not in _OUTPUT):
            raise
        if error.filename is None:
            _mute()
        name, doing = (error.filename, "used") if error.filename else ("The standard output", "written")
        _explain(explain_os_error(error, name, doing))
        return 1
    except RuntimeError as error:
        if not str(error).startswith("Symlink loop"):  # what pathlib calls it up to Python 3.12
            raise
        _explain(FommError(f"A path cannot be used: {str(error)[0].lower()}{str(error)[1:]}.", "Remove the link."))
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
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""Errors without a file's name that writing to the standard output raises."""


def _mute() -> None:
    """Point the standard output elsewhere, lest Python try once more to write what is left when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: FommError) -> None:
    typer.secho(f"Error: {error.what}", fg="red", err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)


def run() -> None:
    """The console script."""
    sys.exit(main())

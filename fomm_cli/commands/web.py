"""`fomm web`: the page in the browser."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path

import typer

from fomm_cli.commands.options import Device, EngineChoice, EngineName, Precision, PrecisionName, Weights
from fomm_cli.errors import FommError


class Badge(StrEnum):
    """The corners of `fomm animate --badge`, and none."""

    NONE = "none"
    TOP_LEFT = "top-left"
    TOP_RIGHT = "top-right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM_RIGHT = "bottom-right"


def web(
    host: str = typer.Option("127.0.0.1", "--host", help="The address to listen on; 0.0.0.0: of everywhere."),
    port: int = typer.Option(7860, "--port", min=1, max=65535, help="The next free one if it is taken."),
    token: str | None = typer.Option(
        None, "--token", metavar="auto|TEXT", help="What visitors must know; auto draws one."
    ),
    no_auth: bool = typer.Option(False, "--no-auth", help="Serve other machines without a token."),
    max_upload: str = typer.Option("200M", "--max-upload", metavar="BYTES", help="Of one file: 200M, 1G."),
    max_seconds: float = typer.Option(120, "--max-seconds", min=1, help="Of a driving."),
    max_side: int = typer.Option(8192, "--max-side", min=64, help="Pixels of a picture's or clip's longer side."),
    jobs: int = typer.Option(1, "--jobs", min=1, max=16, help="Animations made at a time."),
    queue: int = typer.Option(20, "--queue", min=0, help="Animations that may wait."),
    keep: str = typer.Option("1h", "--keep", metavar="TIME", help="How long unused files stay: 30m, 1h, 2d."),
    badge: Badge | None = typer.Option(
        None, "--badge", help='"AI" in that corner of all that is made; by default bottom-right for other machines.'
    ),
    work: Path | None = typer.Option(None, "--work", metavar="DIR", help="Where the work folder is made."),
    certfile: Path | None = typer.Option(None, "--certfile", metavar="PEM", help="Serve https, with --keyfile."),
    keyfile: Path | None = typer.Option(None, "--keyfile", metavar="PEM", help="The certificate's key."),
    allow_download: bool = typer.Option(
        False, "--allow-download", help="Fetch what is not here: weights, the network that finds faces."
    ),
    open_page: bool = typer.Option(False, "--open", help="Open the page in a browser."),
    weights: Weights = None,
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
) -> None:
    """Serve a page on which pictures are animated, until Ctrl-C.

    Other machines are served only with --host, and then ask for a token. Files are gone when the server is.
    """
    import secrets
    import webbrowser

    from rich.console import Console

    from fomm_cli.commands.animate import opened

    try:
        from fomm_cli.web.rules import LOCAL, Rules
        from fomm_cli.web.serve import check_certificate, listen, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "uvicorn"}:
            raise
        raise FommError(f"{error.name} is not installed.", 'pip install "fomm-cli[web]"') from error
    if host not in LOCAL and token is None and not no_auth:
        raise typer.BadParameter(
            f"{host} is for other machines too: give --token auto, or --no-auth.", param_hint="'--host'"
        )
    secret = secrets.token_urlsafe(18) if token == "auto" else token or ""
    if re.fullmatch(r"[\w.~-]*", secret, re.ASCII) is None:
        raise typer.BadParameter("A token is letters, digits and . ~ _ - only.", param_hint="'--token'")
    if (certfile is None) != (keyfile is None):
        raise typer.BadParameter("A certificate needs its key, and a key its certificate.", param_hint="'--certfile'")
    certificate = None if certfile is None or keyfile is None else (certfile, keyfile)
    rules = Rules(
        host=host,
        token=secret,
        max_upload=_amount("--max-upload", max_upload, {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}),
        max_seconds=max_seconds,
        max_side=max_side,
        jobs=jobs,
        queue=queue,
        keep=_amount("--keep", keep, {"": 1, "S": 1, "M": 60, "H": 3600, "D": 86400}),
        work=work,
        badge=str(badge or (Badge.NONE if host in LOCAL else Badge.BOTTOM_RIGHT)),
        fetch=allow_download,
        certificate=certificate,
    )
    if certificate is not None:
        check_certificate(*certificate)
    console = Console(stderr=True, highlight=False)
    door = listen(host, port)
    shown = "127.0.0.1" if host in {"0.0.0.0", "::", "::1"} else host
    scheme = "http" if certificate is None else "https"
    address = f"{scheme}://{shown}:{door.getsockname()[1]}/" + (f"?token={secret}" if secret else "")
    if not allow_download:
        os.environ["HF_HUB_OFFLINE"] = "1"  # until the command ends: see `main`
    if no_auth and host not in LOCAL:
        console.print("[yellow]Warning:[/] everybody who reaches this address may use it.", soft_wrap=True)

    def ready() -> None:
        typer.echo(address)
        console.print("Ctrl-C ends it.")
        if open_page:
            webbrowser.open(address)

    serve(lambda name: opened(name or weights, device, engine, precision, console), door, rules, weights, ready)


def _amount(option: str, text: str, units: dict[str, int]) -> int:
    match = re.fullmatch(r"(\d{1,12})([A-Z]?)", text.strip().upper())
    if match is None or match[2] not in units:
        raise typer.BadParameter(f"{text!r} is no amount. Write 200M, or 1h.", param_hint=f"'{option}'")
    return int(match[1]) * units[match[2]]

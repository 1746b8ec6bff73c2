"""A server from its first port to its last file."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import uvicorn

from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.web.app import make_app
from fomm_cli.web.desk import Desk
from fomm_cli.web.rules import Rules
from fomm_cli.web.vault import Vault

TRIED = 20
"""Ports after the one asked for."""


def listen(host: str, port: int) -> socket.socket:
    """A socket at `port`, or at the next free one."""
    for tried in range(port, min(port + TRIED, 65536)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, tried, type=socket.SOCK_STREAM)[0]
            door = socket.socket(family, kind, protocol)
        except OSError as error:
            raise FommError(f"{host} is no address of this machine.", "Use --host 127.0.0.1 or 0.0.0.0.") from error
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
            door.listen()
            return door
        except OSError as error:
            door.close()
            if error.errno != errno.EADDRINUSE:
                raise disk.explain_os_error(error, f"{host}:{tried}", "listened on") from error
    raise FommError(f"No port from {port} on is free.", "Name another with --port.")


def check_certificate(certificate: Path, key: Path) -> None:
    """Refuse files that https cannot be served with."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise FommError(
            f"{certificate} and {key} are no certificate with its key.", "Both are PEM files; the key has no password."
        ) from error


def serve(
    open_engine: Callable[[str | None], Engine],
    door: socket.socket,
    rules: Rules,
    weights: str | None,
    ready: Callable[[], None],
) -> None:
    """Serve until a signal comes; `ready` is called once the engine runs. The work folder is gone afterwards."""
    vault = Vault(rules)
    try:
        desk = Desk(open_engine, vault, rules, weights)
        try:
            app = make_app(desk, vault, rules)
            settings = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
                ws_max_size=1 << 20,
                ws_per_message_deflate=False,  # a JPEG gets no smaller
                proxy_headers=False,
                ssl_certfile=rules.certificate and rules.certificate[0],
                ssl_keyfile=rules.certificate and rules.certificate[1],
            )
            ready()
            uvicorn.Server(settings).run(sockets=[door])
        finally:
            desk.close()
    finally:
        vault.close()
        door.close()

"""Who hears of downloads, and whether there may be any. Light: the command line is here before anything else is."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Told of each download: a line before it, then the bytes so far and the total, None where nobody said."""

    def say(self, line: str) -> None: ...

    def progress(self, done: int, total: int | None) -> None: ...


listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""Nobody by default: a library is silent. The command line draws a bar on stderr."""


def announce(line: str) -> None:
    """Tell the listener, if there is one."""
    if heard := listener.get():
        heard.say(line)


def offline() -> bool:
    """Whether the environment forbids the network: HF_HUB_OFFLINE, which the Hub's own client obeys too."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}

"""Who hears of downloads. Light: the command line names itself here before anything else is imported."""

from __future__ import annotations

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

"""The server's engine, and that of other weights which are on this machine, for those who ask for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.weights.catalogue import CATALOGUE


class TakingTurns:
    """An engine that any thread may call at any time: calls are made one after the other, in the order they came.

    All of them in the one thread of `turns`: a network's helper threads belong to the thread that calls it.
    """

    def __init__(self, engine: Engine, turns: ThreadPoolExecutor) -> None:
        self._engine, self._turns = engine, turns

    def __getattr__(self, name: str) -> Any:
        """The engine's own; a method in its turn."""
        found = getattr(self._engine, name)
        if not callable(found):
            return found
        return lambda *given, **named: self._turns.submit(found, *given, **named).result()


class Engines:
    """By the names of weights: the server's own, always open, and the one other that was asked for last.

    open_engine  takes a name of the catalogue, or None for the server's own weights
    own          what `--weights` said, None = the default ones
    changed      called when an engine is let go of: what it made is of no use to the next
    """

    def __init__(
        self, open_engine: Callable[[str | None], Engine], own: str | None, changed: Callable[[], None]
    ) -> None:
        self._open, self.own, self._changed = open_engine, own, changed
        self._turns, self._guard = ThreadPoolExecutor(1, "fomm-engine"), threading.Lock()
        self.first = self._new(None)
        self._other: tuple[str, Engine] | None = None

    def get(self, name: str = "") -> Engine:
        """The engine of these weights; "" = the server's own. No path, nor anything that would be fetched."""
        if name in ("", self.own):
            return self.first
        entry = CATALOGUE.get(name)
        if entry is None or not entry.path.is_file():
            raise FommError(f"The weights {name[:40]!r} are not here.", "`fomm weights fetch` gets those of a name.")
        with self._guard:
            if self._other is None or self._other[0] != name:
                self._other = None
                self._changed()
                self._other = name, self._new(name)
            return self._other[1]

    def _new(self, name: str | None) -> Engine:
        return cast(Engine, TakingTurns(self._open(name), self._turns))

    def close(self) -> None:
        self._turns.shutdown()

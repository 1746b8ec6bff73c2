"""The server's engine, and that of other weights of the catalogue, for those who ask for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, cast

from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.weights.catalogue import CATALOGUE

T = TypeVar("T")


class Turns:
    """Calls one after the other, in the order they came, in one thread: a network's helper threads belong to it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "fomm-engine")
        self._thread = self._pool.submit(threading.get_ident).result()

    def take(self, work: Callable[..., T], *given: Any, **named: Any) -> Future[T]:
        """A turn of its own for something; what it asks of an engine is part of it."""
        return self._pool.submit(work, *given, **named)

    def wait(self, work: Callable[..., T], *given: Any, **named: Any) -> T:
        """The result of a turn, or of the one that is being taken."""
        if threading.get_ident() == self._thread:
            return work(*given, **named)
        return self.take(work, *given, **named).result()

    def close(self) -> None:
        self._pool.shutdown()


class TakingTurns:
    """An engine that any thread may call at any time."""

    def __init__(self, engine: Engine, turns: Turns) -> None:
        self._engine, self._turns = engine, turns

    def __getattr__(self, name: str) -> Any:
        """The engine's own; a method in its turn."""
        found = getattr(self._engine, name)
        return partial(self._turns.wait, found) if callable(found) else found


class Engines:
    """By the names of weights: the server's own, always open, and the one other that was asked for last.

    open_engine  takes a name of the catalogue, or None for the server's own weights
    own          what `--weights` said, None = the default ones
    changed      called when an engine is let go of: what it made is of no use to the next
    fetch        whether a visitor's wish may download weights that have an address
    """

    def __init__(
        self,
        open_engine: Callable[[str | None], Engine],
        own: str | None,
        changed: Callable[[], None],
        fetch: bool = False,
    ) -> None:
        self._open, self.own, self._changed, self._fetch = open_engine, own, changed, fetch
        self.turns, self._guard = Turns(), threading.Lock()
        self.first = self._new(None)
        self._other: tuple[str, Engine] | None = None

    def get(self, name: str = "") -> Engine:
        """The engine of these weights; "" = the server's own. Never a path."""
        if name in ("", self.own):
            return self.first
        self.check_offer(name)
        if not CATALOGUE[name].path.is_file():
            raise FommError(f"The weights {name} have to be downloaded first.", "Fetch them: POST /api/weights.")
        with self._guard:
            if self._other is None or self._other[0] != name:
                self._other = None
                self._changed()
                self._other = name, self._new(name)
            return self._other[1]

    def offers(self, name: str) -> bool:
        """Whether a visitor may have these weights: a name whose file is here, or may be fetched."""
        entry = CATALOGUE.get(name)
        return entry is not None and (entry.path.is_file() or (self._fetch and bool(entry.sources)))

    def check_offer(self, name: str) -> None:
        """Refuse other names."""
        if not self.offers(name):
            raise FommError(f"The weights {name[:40]!r} are not here.", "`fomm weights fetch` gets those of a name.")

    def _new(self, name: str | None) -> Engine:
        return cast(Engine, TakingTurns(self._open(name), self.turns))

    def close(self) -> None:
        self.turns.close()

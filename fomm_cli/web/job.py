"""One piece of work on its way through the queue."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fomm_cli.errors import FommError
from fomm_cli.web.vault import Stored


class Cancelled(Exception):  # noqa: N818 - no error: somebody's wish
    """Raised inside a job that is not wanted any more."""


@dataclass
class Job:
    """An animation, the motion of a clip, or weights, to be brought about for a visitor.

    files   what it is made of
    output  what it makes; None where that is nothing of the visitor's
    command the line for a shell that makes the same
    work    makes it, and says what there is to say of it
    state   waiting, running, done, failed or cancelled
    stage   crop, detect or render, with frames done and their number, or download, with bytes; fps: a second, of this
            stage
    found   what `work` said
    """

    owner: str
    files: tuple[Stored, ...]
    output: Stored | None
    command: str
    work: Callable[[Job], dict[str, Any]]
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "waiting"
    stage: str = ""
    done: int = 0
    total: int | None = None
    fps: float = 0.0
    error: FommError | None = None
    found: dict[str, Any] = field(default_factory=dict)
    unwanted: threading.Event = field(default_factory=threading.Event)
    _stage_begun: float = 0.0

    @property
    def over(self) -> bool:
        return self.state in {"done", "failed", "cancelled"}

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """What the rooms below report to; the way out of a job that is not wanted."""
        if self.unwanted.is_set():
            raise Cancelled
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self._stage_begun = stage, now
        self.done, self.total = done, total
        self.fps = done / max(now - self._stage_begun, 1e-3) if done > 1 else 0.0

    def told(self, place: int = 0) -> dict[str, Any]:
        """All that its owner may know."""
        left = (self.total - self.done) / self.fps if self.total and self.fps else None
        told: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "place": place,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "fps": round(self.fps, 1),
            "eta": None if left is None else round(left, 1),
            "command": self.command,
            "file": self.output.id if self.output and self.state == "done" else None,
            "name": self.output.name if self.output else "",
        }
        if self.error is not None:
            told["error"] = {"what": self.error.what, "hint": self.error.hint}
        return told | self.found

"""One engine, a queue round it, and what is kept open between two questions about the same files."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fomm_cli.animate.clip import render_clip, render_still
from fomm_cli.animate.driving import Driving, open_driving
from fomm_cli.animate.kept import Kept, driving_bytes, scene_bytes
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene, open_scene
from fomm_cli.animate.settings import Output, Progress, Report, Settings, Still
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.web.rules import RefusedError, Rules
from fomm_cli.web.vault import Stored, Vault, discard, hidden
from fomm_cli.web.words import Asked

CACHE = 512 << 20
"""Bytes of sources and motions kept open."""

HISTORY = 200
"""Finished jobs that are remembered."""

FASTEST = 120
"""Frames a second up to which a driving may use all of its seconds."""


class Cancelled(Exception):  # noqa: N818 - no error: somebody's wish
    """Raised inside a job that is not wanted any more."""


@dataclass
class Job:
    """One animation on its way.

    state   waiting, running, done, failed or cancelled
    stage   crop, detect or render, with frames done and their number; fps of this stage
    """

    owner: str
    source: Stored
    driving: Stored
    output: Stored
    asked: Asked
    command: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "waiting"
    stage: str = ""
    done: int = 0
    total: int | None = None
    fps: float = 0.0
    error: FommError | None = None
    report: Report | None = None
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
            "file": self.output.id if self.state == "done" else None,
            "name": self.output.name,
        }
        if self.error is not None:
            told["error"] = {"what": self.error.what, "hint": self.error.hint}
        if self.report is not None:
            report = self.report
            told |= {
                "frames": report.frames,
                "rate": float(report.rate),
                "seconds": round(report.seconds, 2),
                "sound": report.has_audio,
                "anchor": report.anchor,
                "pose_distance": report.distance,
                "warnings": report.warnings,
            }
        return told


class Desk:
    """Takes jobs, works them off in turn, answers previews in between.

    The engine is opened once, and its calls take turns: a preview or a live frame waits for a batch, not for a job.
    """

    def __init__(self, open_engine: Callable[[], Engine], vault: Vault, rules: Rules) -> None:
        self._turns = ThreadPoolExecutor(1, "fomm-engine")
        self.engine = cast(Engine, TakingTurns(open_engine(), self._turns))
        self.vault, self.rules = vault, rules
        self._kept = Kept(CACHE)
        self._opening, self._reading, self._guard = threading.RLock(), threading.Lock(), threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(rules.jobs, "fomm-job")

    # ----------------------------------------------------------------------------------------------------- jobs

    def submit(self, job: Job) -> Job:
        """Queue a job; refused where too many wait."""
        self.engine.family.check_mode(job.asked.settings.mode)
        self.vault.room(job.owner)
        with self._guard:
            ahead = sum(not other.over for other in self._jobs.values())
            if ahead >= self.rules.queue + self.rules.jobs:
                raise RefusedError(429, f"{ahead} animations are being made or wait.", "Try again in a minute.")
            over = [id for id, other in self._jobs.items() if other.over]
            for id in over[: max(0, len(over) - HISTORY)]:
                del self._jobs[id]
            self._jobs[job.id] = job
        self._pool.submit(self._work, job)
        return job

    def find(self, owner: str, id: str) -> Job:
        with self._guard:
            job = self._jobs.get(id)
        if job is None or job.owner != owner:
            raise RefusedError(404, "There is no such job.", "It may be long over.")
        return job

    def of(self, owner: str) -> list[Job]:
        """A visitor's jobs, the oldest first."""
        with self._guard:
            return [job for job in self._jobs.values() if job.owner == owner]

    def place(self, job: Job) -> int:
        """How many jobs are before this one."""
        if job.state != "waiting":
            return 0
        with self._guard:
            ahead = list(self._jobs.values())
        return sum(not other.over for other in ahead[: ahead.index(job)]) if job in ahead else 0

    def cancel(self, job: Job) -> None:
        """At once where it waits, with its next frame where it runs."""
        job.unwanted.set()
        with self._guard:
            if job.state == "waiting":
                job.state = "cancelled"

    def busy(self) -> set[str]:
        """Files that must stay where they are."""
        with self._guard:
            jobs = [job for job in self._jobs.values() if not job.over]
        return {file.id for job in jobs for file in (job.source, job.driving, job.output)}

    def close(self) -> None:
        """Leave everything, as soon as the frame at hand is finished."""
        with self._guard:
            jobs = list(self._jobs.values())
        for job in jobs:
            self.cancel(job)
        self._pool.shutdown(cancel_futures=True)
        self._turns.shutdown()

    def _work(self, job: Job) -> None:
        with self._guard:
            if job.state != "waiting":
                return
            job.state = "running"
        begun, settings = time.perf_counter(), job.asked.settings
        try:
            scene, driving = self._scene(job.source, settings), self._driving(job.driving, settings, job.progress)
            self._motion(driving, job.progress)
            outputs = [Output(job.output.path, job.asked.words["layout"])]
            report = render_clip(scene, driving, outputs, settings, job.progress)
            report.seconds = time.perf_counter() - begun
            job.report = report
            self.vault.keep(job.output)
            job.state = "done"
        except Cancelled:
            job.state = "cancelled"
        except FommError as error:
            job.error, job.state = hidden(error, job.source, job.driving, job.output), "failed"
        except Exception as error:  # whatever a decoder or a driver says: it costs this job, not the server
            job.error = FommError(f"It failed unexpectedly ({type(error).__name__}).", "Other files may do.")
            job.state = "failed"
        if job.state != "done":
            discard(job.output)
        with self._opening:
            self._kept.weigh()

    # ------------------------------------------------------------------------------------------------- previews

    def still(self, source: Stored, driving: Stored, row: int, settings: Settings) -> Still:
        """One frame of what a job would make; the clip's motion is read at the first question, and kept."""
        try:
            scene = self._scene(source, settings)
            moving = self._driving(driving, settings, lambda *_: None)
            self._motion(moving, lambda *_: None)
            return render_still(scene, moving, row, settings, lambda *_: None)
        except FommError as error:
            raise hidden(error, source, driving) from error

    def scene(self, source: Stored, crop: str = "center") -> Scene:
        """A source, ready to be rendered."""
        try:
            return self._scene(source, Settings(crop_source=crop))
        except FommError as error:
            raise hidden(error, source) from error

    def _scene(self, source: Stored, settings: Settings) -> Scene:
        with self._opening:
            return self._kept.get(
                ("source", source.id, settings.crop_source),
                lambda: open_scene(Runner(self.engine), source.path, settings.crop_source, settings.face_detector),
                scene_bytes,
            )

    def _driving(self, driving: Stored, settings: Settings, progress: Progress) -> Driving:
        bounded = self._bounded(progress)
        with self._opening:
            return self._kept.get(
                ("driving", driving.id, settings.crop_driving),
                lambda: open_driving(driving.path, self.engine.size, replace(settings, force=False), bounded),
                driving_bytes,
            )

    def _motion(self, driving: Driving, progress: Progress) -> None:
        """Read a motion once, whoever asks at the same time."""
        with self._reading:
            driving.motion(Runner(self.engine), self._bounded(progress))

    def _bounded(self, progress: Progress) -> Progress:
        """Frames are counted: what a file says of its length may be wrong."""
        limit = self.rules.max_seconds * FASTEST

        def bounded(stage: str, done: int, total: int | None) -> None:
            if done > limit:
                raise FommError("The driving has too many frames.", f"At most {limit:.0f} are read here: cut it.")
            progress(stage, done, total)

        return bounded


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

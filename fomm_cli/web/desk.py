"""A queue round the engine, and what is kept open between two questions about the same files."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from fomm_cli.animate.clip import render_clip, render_still
from fomm_cli.animate.driving import Clip, Driving, open_driving
from fomm_cli.animate.extract import extract
from fomm_cli.animate.kept import Kept, driving_bytes, scene_bytes
from fomm_cli.animate.parts import find, head_box
from fomm_cli.animate.redirect import redirect_clip
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene, is_clip, open_scene
from fomm_cli.animate.settings import Output, Progress, Still
from fomm_cli.animate.sidecar import write_sidecar
from fomm_cli.animate.whole import Stage, check_stage, open_stage
from fomm_cli.boxes import Box
from fomm_cli.engine.base import Engine, usual_motion
from fomm_cli.errors import FommError
from fomm_cli.files.listener import listener
from fomm_cli.media.badge import badged
from fomm_cli.model.family import FRAMING, Family
from fomm_cli.motion import file as motion_file
from fomm_cli.motion.describe import summary
from fomm_cli.web.engines import Engines
from fomm_cli.web.files import first
from fomm_cli.web.job import Cancelled, Job
from fomm_cli.web.rules import RefusedError, Rules
from fomm_cli.web.vault import Stored, Vault, discard, hidden
from fomm_cli.web.words import Asked, beside, command, read
from fomm_cli.weights.fetch import fetch

CACHE = 512 << 20
"""Bytes of sources and motions kept open."""

HISTORY = 200
"""Finished jobs that are remembered."""

FASTEST = 120
"""Frames a second up to which a driving may use all of its seconds."""


class Desk:
    """Takes jobs, works them off in turn, answers previews in between.

    The engine's calls take turns: a preview or a live frame waits for a batch, not for a job.

    open_engine  opens the engine of a name of the catalogue, or of None, the server's own weights
    weights      what `--weights` said, None = the default ones
    """

    def __init__(
        self, open_engine: Callable[[str | None], Engine], vault: Vault, rules: Rules, weights: str | None = None
    ) -> None:
        self._kept = Kept(CACHE)
        self.engines = Engines(open_engine, weights, self._forget, rules.fetch)
        self.vault, self.rules = vault, rules
        self._opening, self._reading, self._guard = threading.RLock(), threading.Lock(), threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(rules.jobs, "fomm-job")
        self._fetching = ThreadPoolExecutor(1, "fomm-fetch")

    def asked(self, given: Any) -> Asked:
        """Settings from JSON, as the weights that it names usually have them."""
        name = given.get("weights", "") if isinstance(given, dict) else ""
        engine = self.engines.get(name if isinstance(name, str) else "")
        asked = read(given, usual_motion(engine), self.rules.badge)
        asked = asked._replace(settings=asked.settings.agreed(engine))
        engine.family.configured(asked.settings.options)
        check_stage(engine, asked.settings)
        return asked

    # ----------------------------------------------------------------------------------------------------- jobs

    def animation(
        self,
        owner: str,
        source: Stored,
        driving: Stored,
        asked: Asked,
        output: Stored,
        others: Mapping[int, Stored] | None = None,
        pictures: Sequence[Stored] = (),
    ) -> Job:
        """A job that makes the source move like the driving; `others` drive faces of it, by their numbers.

        pictures  mask and background, if `asked` has such
        """
        others = others or {}

        def work(job: Job) -> dict[str, Any]:
            begun, settings, runner = time.perf_counter(), asked.settings, self._runner(asked)
            family = self._family(source, asked)
            outputs = [Output(output.path, asked.words["layout"])]
            sidecar = None
            if family.takes_clips and is_clip(source.path):
                moving = self._moving(driving, asked, job.progress)
                crop = family.crop if settings.crop_source == "auto" else settings.crop_source
                report = redirect_clip(runner, family, source.path, crop, moving, outputs, settings, job.progress)
            else:
                stage, moving = self._stage(source, asked), self._moving(driving, asked, job.progress)
                drives = {number: self._moving(file, asked, job.progress) for number, file in others.items()}
                report = render_clip(stage, moving, outputs, settings, job.progress, drives)
                if settings.crop_json is not None:
                    names = {file.path.name: file.name for file in (source, driving, *others.values())}
                    sidecar = self.vault.new(owner, beside(output.name))
                    write_sidecar(sidecar.path, stage, report, False, names)
                    self.vault.keep(sidecar)
            return {
                "frames": report.frames,
                "rate": float(report.rate),
                "seconds": round(time.perf_counter() - begun, 2),
                "sound": report.has_audio,
                "anchor": report.anchor,
                "pose_distance": report.distance,
                "cut": report.cut,
                "crop": None if sidecar is None else sidecar.id,
                "warnings": report.warnings,
            }

        drives = {number: file.name for number, file in others.items()}
        line = command(asked, source.name, driving.name, output.name, self.engines.own, drives)
        return self.submit(Job(owner, (source, driving, *others.values(), *pictures), output, line, work))

    def extraction(self, owner: str, clip: Stored, asked: Asked, private: bool, output: Stored, line: str) -> Job:
        """A job that reads the motion of a clip into a file."""

        def work(job: Job) -> dict[str, Any]:
            moving = self._moving(clip, asked, job.progress)
            if not isinstance(moving, Clip):
                raise FommError(f"{clip.name} is a motion file already.", "Choose a clip.")
            audio = "embed" if asked.settings.audio == "driving" else "none"
            motion = extract(moving, self._runner(asked), job.progress, None, audio, private)
            history = (*motion.history, line.removeprefix("fomm motion "))
            motion_file.save(replace(motion, history=history), output.path)
            output.told = {"kind": "motion", "frames": len(motion), "rate": float(motion.rate)}
            return {"frames": len(motion), "rate": float(motion.rate), "motion": summary(motion), "warnings": []}

        return self.submit(Job(owner, (clip,), output, line, work))

    def fetching(self, owner: str, name: str) -> Job:
        """A job that downloads weights of the catalogue, where that is allowed; it keeps no animation waiting."""
        self.engines.check_offer(name)

        def work(job: Job) -> dict[str, Any]:
            fetch(name)
            return {"weights": name}

        return self.submit(Job(owner, (), None, shlex.join(["fomm", "weights", "fetch", name]), work), self._fetching)

    def submit(self, job: Job, pool: ThreadPoolExecutor | None = None) -> Job:
        """Queue a job; refused where too many wait."""
        self.vault.room(job.owner)
        with self._guard:
            ahead = sum(not other.over for other in self._jobs.values())
            if ahead >= self.rules.queue + self.rules.jobs:
                raise RefusedError(429, f"{ahead} animations are being made or wait.", "Try again in a minute.")
            over = [id for id, other in self._jobs.items() if other.over]
            for id in over[: max(0, len(over) - HISTORY)]:
                del self._jobs[id]
            self._jobs[job.id] = job
        (pool or self._pool).submit(self._work, job)
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
        return {file.id for job in jobs for file in (*job.files, job.output) if file is not None}

    def close(self) -> None:
        """Leave everything, as soon as the frame at hand is finished."""
        with self._guard:
            jobs = list(self._jobs.values())
        for job in jobs:
            self.cancel(job)
        self._pool.shutdown(cancel_futures=True)
        self._fetching.shutdown(wait=False, cancel_futures=True)  # one that hears nothing from afar keeps nobody here
        self.engines.close()

    def _work(self, job: Job) -> None:
        with self._guard:
            if job.state != "waiting":
                return
            job.state = "running"
        listener.set(Downloading(job))  # of this thread, and of this job until the next
        try:
            job.found = job.work(job)
            if job.output is not None:
                self.vault.keep(job.output)
            job.state = "done"
        except Cancelled:
            job.state = "cancelled"
        except FommError as error:
            job.error, job.state = hidden(error, *job.files, job.output), "failed"
        except Exception as error:  # whatever a decoder or a driver says: it costs this job, not the server
            job.error = FommError(f"It failed unexpectedly ({type(error).__name__}).", "Other files may do.")
            job.state = "failed"
        if job.state != "done" and job.output is not None:
            discard(job.output)
        with self._opening:
            self._kept.weigh()

    # ------------------------------------------------------------------------------------------------- previews

    def still(
        self,
        source: Stored,
        driving: Stored,
        row: int,
        asked: Asked,
        others: Mapping[int, Stored],
        pictures: Sequence[Stored] = (),
    ) -> tuple[Still, Stage, Driving]:
        """One frame of what a job would make, and what it was made of.

        The clip's motion is read at the first question, and kept.
        """
        try:
            stage, moving = self._stage(source, asked), self._moving(driving, asked, _nobody)
            drives = {number: self._moving(file, asked, _nobody) for number, file in others.items()}
            still = render_still(stage, moving, row, asked.settings, _nobody, drives)
            if asked.settings.badge:
                still = still._replace(frame=badged(still.frame, asked.settings.badge))
            return still, stage, moving
        except FommError as error:
            raise hidden(error, source, driving, *others.values(), *pictures) from error

    def faces(self, file: Stored, asked: Asked) -> list[Box]:
        """The squares around the faces of a picture, or of a clip's first frame, from left to right."""
        picture, framing = first(file), self._runner(asked).engine.usual.framing or FRAMING
        height, width = picture.shape[:2]
        try:
            return [head_box(found.head, width, height, framing) for found in find(picture, file.path, None)]
        except FommError as error:
            raise hidden(error, file) from error

    def scene(self, source: Stored, asked: Asked) -> Scene:
        """A source by itself, ready to be rendered."""
        try:
            runner, settings = self._runner(asked), asked.settings
            family = self._family(source, asked)
            with self._opening:
                return self._kept.get(
                    ("scene", source.id, asked.words["weights"], settings.crop_source, settings.options),
                    lambda: open_scene(runner, source.path, settings.crop_source, family=family),
                    scene_bytes,
                )
        except FommError as error:
            raise hidden(error, source) from error

    def _runner(self, asked: Asked) -> Runner:
        return Runner(self.engines.get(asked.words["weights"]))

    def _family(self, source: Stored, asked: Asked) -> Family:
        """As it is configured, for this source."""
        family = self._runner(asked).engine.family.configured(asked.settings.options)
        family.check_asked(asked.settings.carrying[0], family.takes_clips and is_clip(source.path))
        return family

    def _stage(self, source: Stored, asked: Asked) -> Stage:
        settings, runner = asked.settings, self._runner(asked)
        family = self._family(source, asked)
        if family.takes_clips and is_clip(source.path):
            raise FommError(f"{source.name} is a clip: there is no preview of it.", "Animate it.")
        asked_of = settings.crop_source, settings.size, settings.max_size, settings.detail, settings.paste
        seen = *asked_of, settings.background, settings.mask, settings.matte, settings.options
        with self._opening:
            return self._kept.get(
                ("source", source.id, asked.words["weights"], *seen),
                lambda: open_stage(runner, source.path, settings, family),
                scene_bytes,
            )

    def _driving(self, driving: Stored, asked: Asked, progress: Progress) -> Driving:
        settings, engine, bounded = asked.settings, self._runner(asked).engine, self._bounded(progress)
        part = settings.begin, settings.end
        seen = *part, settings.allow_damaged, engine.family.configured(settings.options).follows_openness
        if motion_file.is_motion(driving.path) and any(part):
            raise FommError(f"{driving.name} is a motion file.", "start and end are for clips: use its trim.")
        with self._opening:
            return self._kept.get(
                ("driving", driving.id, asked.words["weights"], settings.crop_driving, *seen),
                lambda: open_driving(driving.path, engine, settings, bounded),
                driving_bytes,
            )

    def _moving(self, file: Stored, asked: Asked, progress: Progress) -> Driving:
        """A driving whose motion is known: read once, whoever asks at the same time."""
        driving = self._driving(file, asked, progress)
        with self._reading:
            driving.motion(self._runner(asked), self._bounded(progress))
        return driving

    def _forget(self) -> None:
        with self._opening:
            self._kept.clear()

    def _bounded(self, progress: Progress) -> Progress:
        """Frames are counted: what a file says of its length may be wrong."""
        limit = self.rules.max_seconds * FASTEST

        def bounded(stage: str, done: int, total: int | None) -> None:
            if done > limit:
                raise FommError("The driving has too many frames.", f"At most {limit:.0f} are read here: cut it.")
            progress(stage, done, total)

        return bounded


class Downloading:
    """Hears of a download what a job tells its visitor."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def say(self, line: str) -> None:
        self._job.progress("download", 0, None)

    def progress(self, done: int, total: int | None) -> None:
        self._job.progress("open" if done == total else "download", done, total)


def _nobody(stage: str, done: int, total: int | None) -> None:
    """Hears of progress and says nothing."""

"""Where motion comes from: a clip, of which a part is looked at, or a motion file."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from fomm_cli.animate.crops import cut
from fomm_cli.animate.heads import head_share, seen_heads
from fomm_cli.animate.openness import Openness, held, openness_finder
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import check_picture
from fomm_cli.animate.settings import Progress, Settings
from fomm_cli.animate.stream import batched, threaded
from fomm_cli.boxes import Box, center_box
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media.container import open_media, start_time
from fomm_cli.media.image import Frame, fit
from fomm_cli.media.video import Reading, Timed, probe, read_frames, read_timed
from fomm_cli.model.pose import joined
from fomm_cli.motion import file as motion_file
from fomm_cli.motion.motion import Motion

_AHEAD = 1 << 27
"""Bytes of decoded frames that may wait to be resized."""


class Driving(Protocol):
    """What a source is driven by.

    path, rate, time_base   the file, its frames a second and its clock
    has_sound, has_pictures whether there is something to hear and, beside motion, to see
    weight                  bytes that it keeps
    box                     the part of a clip that the network sees
    how                     what the crop auto came to, to be told
    head                    how much of that part the head is, where one was looked for and seen: see `heads.head_share`
    mute                    why the sound that is there cannot be decoded, else empty
    warnings                what was left out of a damaged clip
    """

    path: Path
    rate: Fraction
    time_base: Fraction
    has_sound: bool
    has_pictures: bool
    box: Box | None
    how: str
    head: float | None

    @property
    def mute(self) -> str: ...

    @property
    def warnings(self) -> Sequence[str]: ...

    @property
    def weight(self) -> int: ...

    def motion(self, runner: Runner, progress: Progress) -> Motion:
        """Its motion, read once and kept."""
        ...

    def read(self) -> Iterator[Timed]:
        """Its pictures in the network's size, with their times."""
        ...

    def sound(self) -> contextlib.AbstractContextManager[tuple[Path, Fraction]]:
        """A file with its sound, and the seconds at which its pictures begin there."""
        ...


def open_driving(path: Path, engine: Engine, settings: Settings, progress: Progress) -> Driving:
    """A clip, cut as the engine's network is used to, or, by its suffix, a motion file."""
    if motion_file.is_motion(path):
        return MotionFile(path)
    return Clip(path, engine, settings, progress)


class Clip:
    """A video, GIF, picture or folder of pictures, and the box of it that the network sees.

    Opening it looks at its first frame, and at all of them where the crop is found by what they show.
    """

    box: Box | None
    has_pictures = True

    def __init__(
        self, path: Path, engine: Engine, settings: Settings, progress: Progress, openness: bool = False
    ) -> None:
        """openness: its motion tells how open eyes and lips are, even if these settings do not ask for it."""
        self.path = path
        self.info = probe(path, settings.fps)
        self.reading = Reading(settings.fps, settings.begin, settings.end, [] if settings.allow_damaged else None)
        self.rate, self.time_base, self.has_sound = self.info.rate, self.info.time_base, self.info.has_audio
        self.size = engine.size
        self._openness = openness or engine.family.configured(settings.options).follows_openness
        self._detector = settings.face_detector
        self.box, self.how = self._find_box(engine, settings, progress)
        self._motion: Motion | None = None

    def motion(self, runner: Runner, progress: Progress) -> Motion:
        """Every frame's pose and time, detected in one pass and kept (some hundred bytes a frame)."""
        if self._motion is None:
            self._motion = self._detect(runner, progress)
        return self._motion

    @property
    def weight(self) -> int:
        return 0 if self._motion is None else self._motion.nbytes

    def read(self) -> Iterator[Timed]:
        """Decoding and resizing run in threads of their own."""
        depth = max(1, min(4, _AHEAD // (3 * self.info.width * self.info.height)))
        with contextlib.closing(threaded(read_timed(self.path, how=self.reading), depth)) as decoded:
            for frame, at, lasts in decoded:
                yield Timed(fit(frame, self.size, None if self._middle else self.box), at, lasts)

    @contextlib.contextmanager
    def sound(self) -> Iterator[tuple[Path, Fraction]]:
        yield self.path, self.reading.begin

    @property
    def warnings(self) -> list[str]:
        return list(dict.fromkeys(self.reading.damage or []))  # once, however often the clip was read

    @property
    def mute(self) -> str:
        return self.info.mute

    def _detect(self, runner: Runner, progress: Progress) -> Motion:
        look = openness_finder(self._detector) if self._openness else None
        found, times, last = [], [], None
        seen: list[Openness | None] = []
        with contextlib.closing(threaded(self.read(), 2 * runner.batch)) as frames:
            for batch in batched(frames, runner.batch):
                found.append(runner.detect(frame for frame, _, _ in batch))
                if look is not None:
                    seen += [look(frame) for frame, _, _ in batch]
                times += [at for _, at, _ in batch]
                last = batch[-1].lasts
                progress("detect", len(times), self.info.frames)
        if not times:
            raise FommError(f"{self.path} has no frames.", "Export the clip again.")
        poses = joined(found)
        if look is not None:
            poses = runner.engine.family.opened(poses, held(seen, str(self.path)))
        return Motion(
            poses=poses,
            times=tuple(times),
            rate=self.info.rate,
            size=self.size,
            family=runner.engine.family.name,
            detector=runner.engine.detector,
            reach=runner.engine.usual.reach,
            time_base=self.info.time_base,
            variable_rate=self.info.variable_rate,
            last=last,
        )

    def _find_box(self, engine: Engine, settings: Settings, progress: Progress) -> tuple[Box, str]:
        first = next(read_frames(self.path, 0, 1, self.reading), None)
        if first is None:
            raise FommError(f"{self.path} has no frames.", "Export the clip again.")
        check_picture(self.path, first)
        (height, width), aspect = first.shape[:2], self.size[1] / self.size[0]
        text = engine.family.crop if settings.crop_driving == "auto" else settings.crop_driving
        if settings.crop_driving == "auto" and text != "auto" and width == aspect * height:
            text = "center"  # what is of the network's shape already was cut by somebody, as its makers have it
        with contextlib.ExitStack() as stack:

            def look() -> Iterator[Frame]:
                frames = threaded(read_frames(self.path, how=self.reading), 1)
                return _counted(stack.enter_context(contextlib.closing(frames)), progress, self.info.frames)

            box, how = cut(text, (height, width), aspect, look, settings.face_detector, engine.usual.framing)
        self._middle = box is None
        box = box or center_box(height, width, aspect)
        self.head = head_share(seen_heads(first, [box], engine, settings.face_detector)[0], box)
        return box, how


class MotionFile:
    """A motion that was extracted before, with the sound that was embedded or referenced."""

    has_pictures = False
    box: Box | None = None
    how = ""
    head: float | None = None
    warnings: Sequence[str] = ()
    mute = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._motion = motion_file.load(path)
        self.rate, self.time_base = self._motion.rate, self._motion.time_base
        self._reference = self._motion.notes.get("fomm.audio")
        self.has_sound = self._motion.sound is not None or self._reference is not None

    def motion(self, runner: Runner, progress: Progress) -> Motion:
        return replace(self._motion, sound=None)

    @property
    def weight(self) -> int:
        return self._motion.nbytes

    def read(self) -> Iterator[Timed]:
        raise FommError(f"{self.path} is a motion file, which has no pictures.", "Use --layout result.")

    @contextlib.contextmanager
    def sound(self) -> Iterator[tuple[Path, Fraction]]:
        if self._motion.sound is None:
            yield self._referenced(), Fraction(0)
            return
        with tempfile.TemporaryDirectory(prefix="fomm-") as folder:
            path = Path(folder) / "sound.m4a"
            path.write_bytes(self._motion.sound)
            with open_media(path) as container:
                begin = -start_time(container)  # its times are the clip's, wherever it begins itself
            yield path, begin

    def _referenced(self) -> Path:
        """The clip whose sound this is: beside the motion file, under its old name and with its old bytes."""
        try:
            told = json.loads(self._reference or "")
            name, digest = str(told["name"]), str(told["sha256"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FommError(f"{self.path} does not tell where its sound is.", "Use --audio none.") from error
        path = self.path.parent / Path(name).name
        if not path.is_file() or disk.sha256(path) != digest:
            raise FommError(
                f"The sound of {self.path} is that of {Path(name).name}, which is not beside it as it was.",
                "Put it there, or use --audio none.",
            )
        return path


def _counted(frames: Iterable[Frame], progress: Progress, total: int | None) -> Iterator[Frame]:
    for count, frame in enumerate(frames, 1):
        progress("crop", count, total)
        yield frame

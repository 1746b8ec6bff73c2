"""Where motion comes from: a clip, of which a part is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from fomm_cli.animate.crops import crop_box, needs_frames
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import check_picture
from fomm_cli.animate.settings import Progress, Settings
from fomm_cli.animate.stream import batched, threaded
from fomm_cli.boxes import Box
from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, fit
from fomm_cli.media.video import Timed, probe, read_frames, read_timed
from fomm_cli.motion.motion import Motion, joined


class Clip:
    """A video, GIF, picture or folder of pictures, and the box of it that the network sees.

    Opening it looks at its first frame, and at all of them where the crop is found by what they show.
    """

    def __init__(self, path: Path, size: tuple[int, int], settings: Settings, progress: Progress) -> None:
        self.path = path
        self.info = probe(path)
        self.size = size
        self.box = self._find_box(size[1] / size[0], settings, progress)
        self._part = None if settings.crop_driving == "center" else self.box  # the middle, to fractions of a pixel
        self._motion: Motion | None = None

    def motion(self, runner: Runner, progress: Progress) -> Motion:
        """Every frame's pose and time, detected in one pass and kept (some hundred bytes a frame)."""
        if self._motion is None:
            self._motion = self._detect(runner, progress)
        return self._motion

    def read(self) -> Iterator[Timed]:
        """Its frames in the network's size with their times; decoding and resizing run in threads of their own."""
        with contextlib.closing(threaded(read_timed(self.path), 4)) as decoded:
            for frame, at, lasts in decoded:
                yield Timed(fit(frame, self.size, self._part), at, lasts)

    def _detect(self, runner: Runner, progress: Progress) -> Motion:
        poses, times, last = [], [], None
        with contextlib.closing(threaded(self.read(), 2 * runner.batch)) as frames:
            for batch in batched(frames, runner.batch):
                poses.append(runner.detect(frame for frame, _, _ in batch))
                times += [at for _, at, _ in batch]
                last = batch[-1].lasts
                progress("detect", len(times), self.info.frames)
        if not times:
            raise FommError(f"{self.path} has no frames.", "Export the clip again.")
        return Motion(
            poses=joined(poses),
            times=tuple(times),
            rate=self.info.rate,
            size=self.size,
            time_base=self.info.time_base,
            variable_rate=self.info.variable_rate,
            last=last,
        )

    def _find_box(self, aspect: float, settings: Settings, progress: Progress) -> Box:
        first = next(read_frames(self.path, 0, 1), None)
        if first is None:
            raise FommError(f"{self.path} has no frames.", "Export the clip again.")
        check_picture(self.path, first)
        extent, text = (first.shape[0], first.shape[1]), settings.crop_driving
        if not needs_frames(text):
            return crop_box(text, extent, aspect)
        with contextlib.closing(threaded(read_frames(self.path))) as frames:
            seen = _counted(frames, progress, self.info.frames)
            return crop_box(text, extent, aspect, seen, settings.face_detector)


def _counted(frames: Iterable[Frame], progress: Progress, total: int | None) -> Iterator[Frame]:
    for count, frame in enumerate(frames, 1):
        progress("crop", count, total)
        yield frame

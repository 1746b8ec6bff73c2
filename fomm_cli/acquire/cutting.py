"""Clips out of a video: all of them are cut while it is read once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from fomm_cli.acquire.reasons import Failure, Reason
from fomm_cli.acquire.stretches import Source, Work
from fomm_cli.acquire.table import Cut, Fit, crop_of
from fomm_cli.boxes import Box
from fomm_cli.data.clips import open_clip
from fomm_cli.data.packed import write_clip
from fomm_cli.errors import FommError
from fomm_cli.media.image import crop, resize

Format = Literal["packed", "mp4", "png"]

SUFFIX: dict[Format, str] = {"packed": ".zip", "mp4": ".mp4", "png": ""}

CRF = 12  # of mp4 clips: what is cut once is compressed twice, so the second time must cost little

_AHEAD = 4  # pictures that wait for a writer; more would only take memory


class ClipWriter:
    """Takes whole pictures in order; the clip appears under its name when it is closed without an error.

    box    what of each picture belongs to the clip
    size   pixels of both sides of its frames
    """

    def __init__(self, kind: Format, path: Path, rate: Fraction, box: Box, size: int, force: bool) -> None:
        self.kind, self.path, self.rate, self.force = kind, path, rate, force
        self._box, self._size = box, (size, size)
        self._queue: queue.Queue[np.ndarray | bool] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._thread.start()

    def write(self, picture: np.ndarray) -> None:
        """Add a picture, uint8 (H, W, 3); waits for the writer. Raises what has gone wrong there."""
        self._put(picture)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """All pictures are there: finish the clip and give it its name."""
        self._put(True)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._put(False)
        self._thread.join()

    def _put(self, item: np.ndarray | bool) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _frames(self) -> Iterator[np.ndarray]:
        while True:
            item = self._queue.get()
            if isinstance(item, bool):
                if not item:
                    raise _AbandonedError
                return
            yield resize(crop(item, self._box), self._size)

    def _run(self) -> None:
        try:
            if self.kind == "packed":
                write_clip(self.path, self._frames(), rate=self.rate, force=self.force)
                return
            from fomm_cli.media.video import VideoWriter

            with VideoWriter(self.path, rate=self.rate, crf=CRF, force=self.force) as writer:
                for frame in self._frames():
                    writer.write(frame)
        except _AbandonedError:
            pass
        except BaseException as error:  # it is raised where the pictures come from, whatever it is
            self._error = error


class _AbandonedError(Exception):
    """Makes the writers' contexts clean up as after an error."""


def count_frames(path: Path) -> int:
    """How many frames a clip holds that is in its place already; 0 if it cannot be read."""
    try:
        clip = open_clip(path)
    except FommError:
        return 0
    try:
        return len(clip)
    finally:
        clip.close()


SHORT = 0.02  # the share of its frames that a clip may miss at its end, where the video is shorter than it once was


@dataclass(frozen=True)
class Style:
    """How clips are written.

    size     pixels of both sides
    kind     packed, mp4 or png
    fit      what becomes of boxes that are not square
    """

    size: int = 256
    kind: Format = "packed"
    fit: Fit = "square"

    def file(self, folder: Path, cut: Cut) -> Path:
        """Where a clip belongs: FOLDER/PARTITION/NAME with the suffix of its kind."""
        return folder / cut.partition / f"{cut.name}{SUFFIX[self.kind]}"


@dataclass
class Outcome:
    """What became of one clip.

    frames    how many were written
    failure   why there is no clip, None where there is
    """

    cut: Cut
    frames: int = 0
    failure: Failure | None = None


@dataclass
class _Open:
    """A clip that is waited for or being written."""

    cut: Cut
    numbers: range
    box: Box
    writer: ClipWriter | None = None
    written: int = 0


def cut_video(
    video: Path,
    cuts: Sequence[Cut],
    folder: Path,
    style: Style,
    done: Callable[[Outcome], None],
    stop: Callable[[], bool] = lambda: False,
    threads: int = 0,
    force: bool = False,
) -> Work:
    """Write every clip of a video into FOLDER/PARTITION, in one pass over the stretches that they need.

    done   is told of each clip as soon as it is whole in its place, or lost
    stop   asked between frames; when it says yes, unfinished clips leave nothing behind
    Raises Failure if the video as a whole cannot be read, FommError if the clips cannot be written.
    """
    with Source(video, threads) as source:
        clips = [
            _Open(cut, cut.frames(source.rate), crop_of(cut, source.width, source.height, style.fit)) for cut in cuts
        ]
        for clip in clips:
            if not clip.numbers:
                done(Outcome(clip.cut, 0, Failure(Reason.SHORT, "no frame of the video falls into it")))
        waiting = sorted((clip for clip in clips if clip.numbers), key=lambda clip: clip.numbers.start)
        active: list[_Open] = []
        try:
            for number, picture in source.frames([clip.numbers for clip in waiting]):
                if stop():
                    return source.work
                while waiting and waiting[0].numbers.start <= number:
                    active.append(waiting.pop(0))
                for clip in list(active):
                    _write(clip, picture, style, source.rate, folder, force)
                    if clip.written == len(clip.numbers):
                        active.remove(clip)
                        _finish(clip, done)
            while active or waiting:
                _end_early((active or waiting).pop(0), done)
        except Failure as failure:
            while active or waiting:
                clip = (active or waiting).pop(0)
                _drop(clip)
                done(Outcome(clip.cut, 0, failure))
        finally:
            for clip in active:
                _drop(clip)
        return source.work


def _write(clip: _Open, picture: np.ndarray, style: Style, rate: Fraction, folder: Path, force: bool) -> None:
    if clip.writer is None:
        path = style.file(folder, clip.cut)
        clip.writer = ClipWriter(style.kind, path, rate, clip.box, style.size, force)
    clip.writer.write(picture)
    clip.written += 1


def _finish(clip: _Open, done: Callable[[Outcome], None]) -> None:
    if clip.writer is not None:
        clip.writer.close()
    done(Outcome(clip.cut, clip.written))


def _end_early(clip: _Open, done: Callable[[Outcome], None]) -> None:
    """The video is over before the clip is: a few missing frames are forgiven, more are not."""
    missing = len(clip.numbers) - clip.written
    if clip.written and missing <= max(1, int(SHORT * len(clip.numbers))):
        _finish(clip, done)
        return
    _drop(clip)
    said = f"the video has {clip.written} of its {len(clip.numbers)} frames"
    done(Outcome(clip.cut, 0, Failure(Reason.SHORT, said)))


def _drop(clip: _Open) -> None:
    if clip.writer is not None:
        clip.writer.abandon()
        clip.writer = None

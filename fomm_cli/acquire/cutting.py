"""Clips out of a video: all of them are cut while it is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from fomm_cli.acquire.decode import Source, Work
from fomm_cli.acquire.placing import Fit, place
from fomm_cli.acquire.reasons import Failure, Reason
from fomm_cli.acquire.sinks import SUFFIX, ClipWriter, Format
from fomm_cli.acquire.table import Cut
from fomm_cli.detectors.geometry import Box

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
            _Open(cut, cut.frames(source.rate), place(cut, source.width, source.height, style.fit)) for cut in cuts
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

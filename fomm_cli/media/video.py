"""Reading clips: frames as uint8 RGB (H, W, 3), lazily, upright, in true colours and with exact times."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av.error

from fomm_cli.errors import FommError
from fomm_cli.media.container import open_media, repair, said, start_time, stream_rate, video_stream
from fomm_cli.media.decode import Decoder
from fomm_cli.media.image import Frame
from fomm_cli.media.probe import VideoInfo, grid, probe, scan
from fomm_cli.media.sequence import Timed, is_sequence, read_pictures
from fomm_cli.media.truncation import check_whole
from fomm_cli.media.view import Orientation, as_seen, square_size
from fomm_cli.media.write import VideoWriter

__all__ = ["Reading", "Timed", "VideoInfo", "VideoWriter", "as_seen", "probe", "read_frames", "read_timed"]

_COUNTED = ("mov,mp4", "matroska")
"""Containers in which every packet is a picture of its own, so that one that is missing was lost."""


@dataclass(frozen=True)
class Reading:
    """How a clip is read.

    rate        frames a second of pictures without any of their own, None = 25
    begin, end  seconds of the clip between which frames are read, counted from its begin; end None = all
    damage      what cannot be read is left out and told here, a sentence each; None = it is raised
    """

    rate: Fraction | None = None
    begin: Fraction = Fraction(0)
    end: Fraction | None = None
    damage: list[str] | None = None


WHOLE = Reading()


def read_frames(path: str | Path, start: int = 0, stop: int | None = None, how: Reading = WHOLE) -> Iterator[Frame]:
    """Frames `start` to `stop` (excluded) of a video, a GIF or a folder of pictures, as uint8 RGB (H, W, 3)."""
    with contextlib.closing(read_timed(path, start, stop, how)) as frames:
        for frame, _, _ in frames:
            yield frame


def read_timed(
    path: str | Path, start: int = 0, stop: int | None = None, how: Reading = WHOLE
) -> Generator[Timed, None, None]:
    """The same with each frame's time and how long it lasts, in seconds since the begin of what is read.

    The file begins with its picture or its sound, whichever is first. Times strictly increase. Where the file's clock
    is too coarse for a constant rate they are put back on the exact grid: 29.97 frames a second in milliseconds become
    multiples of 1001/30000.
    """
    path = Path(path)
    frames = read_pictures(path, how.rate, how.damage) if is_sequence(path) else _decode(path, how.begin, how.damage)
    with contextlib.closing(frames):
        yield from islice(_between(frames, how.begin, how.end), start, stop)


def _between(frames: Iterable[Timed], begin: Fraction, end: Fraction | None) -> Iterator[Timed]:
    """The frames that are shown at some time of the span, and how long within it; times from its begin."""
    for frame, time, lasts in frames:
        if end is not None and time >= end:
            return
        until = time + lasts if end is None else min(time + lasts, end)
        if until > begin:
            shown = max(time, begin)
            yield Timed(frame, shown - begin, until - shown)


def _decode(path: Path, begin: Fraction, damage: list[str] | None) -> Generator[Timed, None, None]:
    """The frames shown after `begin`; each is converted once it is known to be one, and how long it lasts."""
    with open_media(path) as container:
        stream = video_stream(container, path)
        broken = False
        try:
            check_whole(path, container.format.name, _samples_end(stream))
        except FommError as error:
            if damage is None:
                raise
            damage.append(f"{error.what} What can be read of it is used.")
            broken = True
        clock = _Clock(path, container, stream)
        shape, view, held = None, None, None
        decoder = Decoder(container, stream, lenient=damage is not None)
        try:
            for picture, stamp in decoder:
                shape = shape or square_size(picture, stream)
                view = view or Orientation.of(picture)
                time = clock.time(stamp)
                if held is not None and time > begin:
                    yield Timed(as_seen(held[0], stream, shape, view), held[1], time - held[1])
                held = picture, time
        except av.error.FFmpegError as error:
            raise FommError(f"{path} is damaged after {decoder.frames} frames: {said(error)}.", repair(path)) from error
        if held is None:
            why = f" that can be decoded: {said(decoder.early_error)}" if decoder.early_error is not None else ""
            raise FommError(f"{path} has no frames{why}.", "Export the clip again.")
        lost = decoder.lost if container.format.name.startswith(_COUNTED) else 0
        if decoder.error is not None or lost:
            total = f" of its {decoder.frames + lost}" if lost else ""
            reason = f": {said(decoder.error)}" if decoder.error is not None else ""
            what = f"{path} is damaged: {decoder.frames}{total} frames can be decoded{reason}."
            if damage is None:
                raise FommError(what, repair(path))
            if not broken:
                damage.append(f"{what} The rest is left out.")
            broken = True
        if decoder.corrupt and not broken:
            what = f"{path} is damaged: {decoder.corrupt} of its {decoder.frames} frames have holes."
            if damage is None:
                raise FommError(what, repair(path))
            damage.append(f"{what} They are used as they are.")
        picture, time = held
        lasts = clock.lasts(picture) if broken else clock.remaining(time, clock.lasts(picture))
        yield Timed(as_seen(picture, stream, shape, view), time, lasts)


def _samples_end(stream: Any) -> int:
    samples = stream.index_entries if stream.frames else []
    return max((entry.pos + entry.size for entry in samples), default=0)


class _Clock:
    """Seconds since the file's begin, out of a stream's ticks."""

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self._rate, self._tick, self._zero = stream_rate(stream), Fraction(stream.time_base), start_time(container)
        self._last: Fraction | None = None
        self._stream, self._format = stream, container.format.name
        self._grid: Fraction | None = None
        self._first: Fraction | None = None
        if (1 / self._rate / self._tick).denominator > 1:  # else there is nothing to put right
            with open_media(path) as again:
                twin = video_stream(again, path)
                self._grid = grid(again, scan(again, twin)[0], self._rate, self._tick)

    def time(self, stamp: int | None) -> Fraction:
        """A frame without a time of its own, or not later than the last, comes one step after it."""
        last = self._last
        if stamp is None:
            time = Fraction(0) if last is None else last + 1 / self._rate
        else:
            time = stamp * self._tick - self._zero
            if self._grid is not None:
                first = self._first = time if self._first is None else self._first
                exact = first + round((time - first) * self._grid) / self._grid
                time = exact if abs(time - exact) <= self._tick else time
            if last is not None and time <= last:
                time = last + min(self._tick, 1 / self._rate)
        self._last = time
        return time

    def lasts(self, picture: Any) -> Fraction:
        """How long a frame is shown by its own word, else one step of the rate."""
        length = picture.duration * self._tick if picture.duration else Fraction(0)
        if self._grid is not None and abs(length - 1 / self._grid) <= self._tick:
            return 1 / self._grid
        return length or 1 / self._rate

    def remaining(self, time: Fraction, lasts: Fraction) -> Fraction:
        """How long the last frame is shown: by its own word, or until the stream's end, where the container has one.

        In MP4 a sample's length runs to the next in the order of decoding, so that only the stream's counts.
        """
        stream = self._stream
        if self._format.startswith("mov,mp4") and stream.duration and stream.start_time is not None:
            until = (stream.start_time + stream.duration) * self._tick - self._zero - time
            return until if until > self._tick else lasts
        tagged = _seconds(stream.metadata.get("DURATION", "")) if self._format.startswith("matroska") else None
        until = lasts if tagged is None else tagged - self._zero - time
        return until if until > lasts + 2 * self._tick else lasts


def _seconds(text: str) -> Fraction | None:
    """`00:00:04.023000000`, as Matroska's tags have it."""
    try:
        hours, minutes, seconds = text.split(":")
        return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds)
    except (ValueError, ZeroDivisionError):
        return None

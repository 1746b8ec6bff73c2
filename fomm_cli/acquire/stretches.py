"""The frames of a video by their numbers: only the stretches that are needed, each decoded once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av.error
import numpy as np

from fomm_cli.acquire.reasons import Failure, Reason
from fomm_cli.errors import FommError
from fomm_cli.media.container import open_media, stream_rate, video_stream
from fomm_cli.media.decode import Decoded, Decoder
from fomm_cli.media.view import Orientation, as_seen, square_size

SEEK_GAP = 8.0  # seconds; a shorter gap between two clips is cheaper to decode than to jump over


@dataclass
class Work:
    """What reading has cost: frames that were decoded, and how often the reader jumped."""

    decoded: int = 0
    seeks: int = 0


class Source:
    """An open video file; it can make the reader open no other file or address.

    rate            frames a second
    width, height   of the pictures as they are shown
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.path, self.work = path, Work()
        self._threads = threads
        self._stack = contextlib.ExitStack()
        try:
            self._open()
            self.rate = stream_rate(self._stream)
            self._tick = Fraction(self._stream.time_base or Fraction(1, 1000))
            self._look()
        except FommError as error:
            self.close()
            raise Failure(Reason.DAMAGED, error.what.replace(str(path), path.name)) from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Stand at the begin; not every format can be wound back."""
        self._stack.close()
        self._container: Any = self._stack.enter_context(open_media(self.path))
        self._stream = video_stream(self._container, self.path)
        if self._threads:
            self._stream.codec_context.thread_count = self._threads

    def _look(self) -> None:
        """The first frame tells when the pictures begin and how they are shown."""
        for frame, stamp in self._decode():
            self._begin = Fraction(stamp or 0) * self._tick
            self._shape = square_size(frame, self._stream)
            # Asked once: a frame whose side data was looked at is freed only when the garbage collector comes round.
            self._view = Orientation.of(frame)
            height, width = self._shape
            self.width, self.height = (height, width) if self._view.swaps else (width, height)
            return
        raise Failure(Reason.DAMAGED, f"{self.path.name}: no frame of it can be decoded")

    def _decode(self) -> Iterator[Decoded]:
        for decoded in Decoder(self._container, self._stream):
            self.work.decoded += 1
            yield decoded

    def frames(self, wanted: Sequence[range]) -> Iterator[tuple[int, np.ndarray]]:
        """(number, picture) for every number in any of the ranges, rising, each number once.

        Picture i is the first that is shown nearest to i / rate; where the video skips it, the one before stands still,
        so that every clip has exactly the frames its range names. Ends early where the video does.
        """
        try:
            for spans in _stretches(wanted, int(SEEK_GAP * self.rate)):
                yield from self._stretch(chain.from_iterable(spans))
        except (av.error.FFmpegError, FommError) as error:
            said = error.what if isinstance(error, FommError) else error.strerror or str(error)
            raise Failure(Reason.DAMAGED, f"{self.path.name} cannot be decoded: {said}") from error

    def _stretch(self, numbers: Iterator[int]) -> Iterator[tuple[int, np.ndarray]]:
        held = None
        next_number = next(numbers, None)
        if next_number is None:
            return
        for number, frame in self._from(next_number):
            while next_number < number:
                yield next_number, self._picture(frame if held is None else held)
                if (next_number := next(numbers, None)) is None:
                    return
            held = frame
            if next_number == number:
                yield number, self._picture(frame)
                if (next_number := next(numbers, None)) is None:
                    return

    def _picture(self, frame: Any) -> np.ndarray:
        """A decoded frame as it is to be seen, uint8 (H, W, 3)."""
        return as_seen(frame, self._stream, self._shape, self._view)

    def _from(self, first: int) -> Iterator[tuple[int, Any]]:
        """Numbered frames from the key frame before `first`, or from the start where jumping lands behind it."""
        self._seek(first)
        for index, (number, frame) in enumerate(self._numbered(counted=first == 0)):
            if index == 0 and (number is None or number > first > 0):
                break
            yield number or 0, frame
        else:
            return
        self._seek(0)
        for number, frame in self._numbered(counted=True):
            yield number or 0, frame

    def _seek(self, number: int) -> None:
        """Go to the key frame at or before a frame."""
        self.work.seeks += 1
        if number == 0:
            self._open()
            return
        target = int(self._begin / self._tick) + int((number - Fraction(1, 2)) / self.rate / self._tick)
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            self._open()

    def _numbered(self, counted: bool) -> Iterator[tuple[int | None, Any]]:
        """Frames with their numbers, told by their times.

        A frame without a time is counted on from the one before it, if `counted` from the start; else it has no number.
        """
        last = -1
        for frame, stamp in self._decode():
            if stamp is not None:
                last = round((stamp * self._tick - self._begin) * self.rate)
            elif not counted and last < 0:
                yield None, frame
                return
            else:
                last += 1
            yield last, frame

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stretches(wanted: Sequence[range], gap: int) -> Iterator[list[range]]:
    """The ranges, overlaps joined, in groups between whose members less than `gap` frames lie."""
    group: list[range] = []
    for span in sorted((span for span in wanted if span), key=lambda span: (span.start, span.stop)):
        if group and span.start <= group[-1].stop:
            group[-1] = range(group[-1].start, max(group[-1].stop, span.stop))
        elif group and span.start - group[-1].stop > gap:
            yield group
            group = [span]
        else:
            group.append(span)
    if group:
        yield group

"""Any single frame of a video file, by its number."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.media.container import open_media, packets, stream_rate, video_stream
from fomm_cli.media.decode import Decoder
from fomm_cli.media.video import read_frames
from fomm_cli.media.view import Orientation, as_seen

_INDEXED = frozenset({"mp4", "mov", "matroska", "webm"})


class VideoClip:
    """A video whose frames are found by number: the packets are read once for their times, then a frame is reached from
    the key frame before it.

    That needs a container that knows its key frames and the times of its pictures: MP4, MOV, Matroska, WebM, or any of
    which every frame is a key frame. Elsewhere (GIF, AVI, MPEG-1) a frame is reached by decoding from the start, and
    `direct` is false.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate: Fraction | None
        self._size: tuple[int, int] | None = None
        self._view: Orientation | None = None
        self._index()

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """The file and its picture stream, from the start. It is opened for each read: an open handle a clip is too
        many for a large set, and a seek to 0 skips frames of an MPEG-1 stream."""
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            stream.codec_context.thread_count = 1  # a data loader runs one process a core already
            yield container, stream

    def _index(self) -> None:
        times: list[int | None] = []
        keys: list[int] = []
        with self._open() as (container, stream):
            self.rate = stream_rate(stream)
            formats = set(container.format.name.split(","))
            gif = stream.codec_context.name == "gif"  # calls every packet a key frame, and draws on the one before
            for packet in packets(container, stream):
                if packet.is_discard:
                    continue
                times.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
        known = sorted(time for time in times if time is not None)
        indexed = bool(formats & _INDEXED) or len(keys) == len(times)
        self.direct = indexed and not gif and bool(keys) and len(set(known)) == len(times)
        self._times, self._keys = known, sorted(keys)
        self._count = len(times) if self.direct else sum(1 for _ in self._decode())
        if not self._count:
            raise FommError(f"{self.path} holds no frames.")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        count = 0
        for frame in read_frames(self.path):
            yield frame
            count += 1
        if count < self._count:
            raise FommError(f"{self.path} is damaged: {count} of its {self._count} frames can be decoded.")

    @property
    def reach(self) -> int:
        """Most frames that must be decoded to get at one."""
        if not self.direct:
            return self._count
        starts = [bisect_left(self._times, key) for key in self._keys]
        return max(after - before for before, after in zip(starts, [*starts[1:], self._count], strict=True))

    @property
    def size(self) -> tuple[int, int]:
        if self._size is None:
            height, width = self.frame(0).shape[:2]
            self._size = height, width
        return self._size

    def frame(self, index: int) -> np.ndarray:
        return self.frames([index])[0]

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        wanted = sorted({range(self._count)[index] for index in indices})
        found = self._reach(wanted) if self.direct else None
        if found is None:
            found = self._walk(wanted)
        missing = [index for index in wanted if index not in found]
        if missing:
            raise FommError(f"{self.path}: frame {missing[0]} of {self._count} cannot be decoded.")
        return [found[range(self._count)[index]] for index in indices]

    def _decode(self, start: int | None = None) -> Iterator[tuple[Any, Callable[[], np.ndarray]]]:
        """(time, picture) of the frames from the key frame at or before a time, or from the very start; only the
        pictures asked for are converted."""
        with self._open() as (container, stream):
            if start is not None:
                container.seek(start, stream=stream, backward=True)
            for frame, stamp in Decoder(container, stream):
                self._view = self._view or Orientation.of(frame)
                yield stamp, partial(as_seen, frame, stream, view=self._view)

    def _walk(self, wanted: list[int]) -> dict[int, np.ndarray]:
        found = {}
        for index, (_, picture) in enumerate(self._decode()):
            if index in wanted:
                found[index] = picture()
            if index >= wanted[-1]:
                break
        return found

    def _reach(self, wanted: list[int]) -> dict[int, np.ndarray] | None:
        """The frames by their times, or None where a seek lands behind what it was asked for."""
        found = {}
        by_key: dict[int, list[int]] = {}
        for index in wanted:
            before = bisect_right(self._keys, self._times[index]) - 1
            by_key.setdefault(self._keys[max(before, 0)], []).append(index)
        for key, group in by_key.items():
            pending = {self._times[index]: index for index in group}
            for time, picture in self._decode(key):
                if time in pending:
                    found[pending.pop(time)] = picture()
                if not pending or (time is not None and time > max(pending)):
                    break
            if pending:
                return None
        return found

    def close(self) -> None:
        pass

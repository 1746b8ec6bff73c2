"""Reading clips: frames as uint8 RGB (H, W, 3), lazily, upright, in true colours and with exact times."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame
from fomm_cli.media.probe import (
    SWS,
    Orientation,
    VideoInfo,
    open_media,
    probe,
    square_size,
    start_time,
    stream_rate,
    video_stream,
)
from fomm_cli.media.sequence import is_sequence, read_pictures
from fomm_cli.media.write import VideoWriter

__all__ = ["VideoInfo", "VideoWriter", "as_seen", "probe", "read_frames", "read_timed"]

_MATRIX = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}  # frame.colorspace -> swscale's table; anything else is BT.601


def read_frames(path: str | Path, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Frames `start` to `stop` (excluded) of a video, a GIF or a folder of pictures, as uint8 RGB (H, W, 3)."""
    with contextlib.closing(read_timed(path, start, stop)) as frames:
        for frame, _ in frames:
            yield frame


def read_timed(
    path: str | Path, start: int = 0, stop: int | None = None
) -> Generator[tuple[Frame, Fraction], None, None]:
    """The same with each frame's time in seconds since the file's begin (of picture or sound, whichever is first).

    Times strictly increase. Where the file's clock is too coarse for its rate they are put back on the exact grid:
    29.97 frames a second in milliseconds become multiples of 1001/30000.
    """
    path = Path(path)
    with contextlib.closing(read_pictures(path) if is_sequence(path) else _decode(path)) as frames:
        yield from islice(frames, start, stop)


def _decode(path: Path) -> Generator[tuple[Frame, Fraction], None, None]:
    with open_media(path) as container:
        stream = video_stream(container, path)
        _check_whole(path, container, stream)
        rate, tick, zero = stream_rate(stream), Fraction(stream.time_base), start_time(container)
        count, last, shape, view = 0, None, None, None
        try:
            for frame in container.decode(stream):
                time = _time(frame, rate, tick, zero, last)
                shape = shape or square_size(frame, stream)
                view = view or Orientation.of(frame)
                yield as_seen(frame, stream, shape, view), time
                count, last = count + 1, time
        except av.error.FFmpegError as error:
            said = (error.strerror or str(error)).rstrip(".").lower()
            raise FommError(
                f"{path} is damaged after {count} frames: {said}.",
                f"Keep what can be read with: ffmpeg -i {path.name} repaired.mp4",
            ) from error
        if count == 0:
            raise FommError(f"{path} has no frames.", "Export the clip again.")


def _time(frame: Any, rate: Fraction, tick: Fraction, zero: Fraction, last: Fraction | None) -> Fraction:
    """Seconds since `zero`; a frame without a time of its own, or not later than the last, comes one step after it."""
    stamp = frame.pts if frame.pts is not None else frame.dts
    if stamp is None:
        return last + 1 / rate if last is not None else Fraction(0)
    time = stamp * tick - zero
    exact = round(time * rate) / rate
    if tick * rate < Fraction(1, 4) and abs(time - exact) <= tick:
        time = exact
    return time if last is None or time > last else last + min(tick, 1 / rate)


def as_seen(frame: Any, stream: Any, size: tuple[int, int] | None = None, view: Orientation | None = None) -> Frame:
    """A decoded frame in RGB, upright, its pixels square (or stored as `size` (H, W)), transparency over white.

    view   how it is turned, if that is known already. To ask a frame ties it into a cycle that only the garbage
           collector undoes: a reader that asks every frame of a clip holds hundreds of them.
    """
    return (view or Orientation.of(frame)).apply(_rgb(frame, size or square_size(frame, stream)))


def _rgb(frame: Any, size: tuple[int, int]) -> Frame:
    """The decoded frame in RGB at `size` = (H, W); transparent parts over white."""
    alpha = any(component.is_alpha for component in frame.format.components) or frame.format.has_palette
    matrix = _MATRIX.get(int(frame.colorspace))
    if matrix is None:  # unlabelled: BT.709 from 720 lines on, as players assume
        matrix = 1 if frame.colorspace == 2 and min(frame.width, frame.height) >= 720 else 5
    converted = frame.reformat(
        width=size[1],
        height=size[0],
        format="rgba" if alpha else "rgb24",
        src_colorspace=matrix,
        interpolation=SWS,
    )
    picture = converted.to_ndarray()
    if not alpha:
        return picture
    opacity = picture[..., 3:].astype(np.uint16)
    over = picture[..., :3] * opacity + 255 * (255 - opacity)
    return ((over + 127) // 255).astype(np.uint8)


def _check_whole(path: Path, container: Any, stream: Any) -> None:
    """Refuse to take the begin of a broken-off file for the whole clip; before hours are spent on it."""
    if container.format.name.startswith("matroska"):
        end = _matroska_end(path)
    elif container.format.name == "avi":
        end = _riff_end(path)
    else:
        samples = stream.index_entries if stream.frames else []
        end = max((entry.pos + entry.size for entry in samples), default=0)
    size = path.stat().st_size
    if end > size:
        raise FommError(
            f"{path} is incomplete: {size:,} of its {end:,} bytes are there.",
            f"Fetch it again, or keep what can be read with: ffmpeg -i {path.name} repaired.mp4",
        )


def _riff_end(path: Path) -> int:
    """Where the first part of an AVI file says that it ends, in bytes; parts of large files follow it."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    return 8 + size if head.startswith(b"RIFF") and size < 0xFFFFFFFF else 0  # all ones: unknown


def _matroska_end(path: Path) -> int:
    """Where a Matroska or WebM file says that it ends, in bytes; 0 where it does not, as live streams.

    Two elements stand at the top, a header and the segment with everything; each is a number, a size and so many bytes.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    place = 4  # after the header's number
    size, place = _matroska_size(head, place)
    place += size + 4  # after the header and the segment's number
    if place + 8 > len(head) or head[place - 4 : place] != b"\x18\x53\x80\x67":
        return 0
    size, start = _matroska_size(head, place)
    return 0 if size == (1 << 7 * (start - place)) - 1 else start + size  # all ones: unknown


def _matroska_size(data: bytes, place: int) -> tuple[int, int]:
    """A size whose first set bit tells how many bytes it has, and the place after it."""
    length = 9 - data[place].bit_length() if data[place] else 8
    value = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    return value, place + length

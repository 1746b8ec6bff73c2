"""Reading clips: frames as uint8 RGB (H, W, 3), lazily, upright, in true colours and with exact times."""

from __future__ import annotations

from collections.abc import Iterator
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
    for frame, _ in read_timed(path, start, stop):
        yield frame


def read_timed(path: str | Path, start: int = 0, stop: int | None = None) -> Iterator[tuple[Frame, Fraction]]:
    """The same with each frame's time in seconds since the file's begin (of picture or sound, whichever is first).

    Times strictly increase. Where the file's clock is too coarse for its rate they are put back on the exact grid:
    29.97 frames a second in milliseconds become multiples of 1001/30000.
    """
    path = Path(path)
    frames = read_pictures(path) if is_sequence(path) else _decode(path)
    return islice(frames, start, stop)


def _decode(path: Path) -> Iterator[tuple[Frame, Fraction]]:
    with open_media(path) as container:
        stream = video_stream(container, path)
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
        _check_whole(path, container, stream, count)


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


def _check_whole(path: Path, container: Any, stream: Any, count: int) -> None:
    """Refuse to take the begin of a broken-off file for the whole clip."""
    if count == 0:
        raise FommError(f"{path} has no frames.", "Export the clip again.")
    samples = stream.index_entries if stream.frames else []
    end = max((entry.pos + entry.size for entry in samples), default=0)
    size = path.stat().st_size
    if end > size:
        raise FommError(
            f"{path} is incomplete: {count} of {stream.frames} frames are there.",
            f"Fetch it again, or keep what can be read with: ffmpeg -i {path.name} repaired.mp4",
        )

"""What a clip is before any of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.media.container import (
    codec_name,
    exact_rate,
    keeps_no_times,
    open_media,
    packets,
    sound_stream,
    stream_rate,
    video_stream,
)
from fomm_cli.media.decode import Decoder
from fomm_cli.media.image import open_image
from fomm_cli.media.sequence import DEFAULT_RATE, image_files, is_sequence, steps, still_format
from fomm_cli.media.view import Orientation, square_size

SCANNED = 1000
"""Packets looked at to count frames and to tell a variable rate from a constant one."""


@dataclass(frozen=True)
class VideoInfo:
    """A clip as a viewer sees it.

    width, height  pixels, after rotation and after stretching to square pixels
    frames         their number, None where only decoding would tell
    rate           frames per second, exact (30000/1001); the average of a variable-rate clip
    duration       seconds, None where unknown
    has_audio      whether there is sound that can be decoded
    rotation       degrees counterclockwise the stored picture is turned by for viewing: 0, 90, 180 or 270
    variable_rate  whether the frames come at uneven times (judged by the first thousand)
    codec          ffmpeg's name, such as h264; "images" for a folder of pictures
    time_base      seconds per tick of the clip's clock
    mute           why the sound that is there cannot be decoded; empty where there is none, or it can
    """

    path: Path
    width: int
    height: int
    frames: int | None
    rate: Fraction
    duration: Fraction | None
    has_audio: bool
    rotation: int
    variable_rate: bool
    codec: str
    time_base: Fraction
    mute: str = ""


def probe(path: str | Path, rate: Fraction | None = None) -> VideoInfo:
    """Size, rate, length and sound of a video, a GIF, an animated picture or a folder of pictures.

    rate   frames a second of pictures without any of their own, None = 25
    """
    path = Path(path)
    if is_sequence(path):
        return _probe_pictures(path, rate or DEFAULT_RATE)
    with open_media(path) as container:
        stream = video_stream(container, path)
        average = stream_rate(stream)
        times, complete = scan(container, stream)
        if complete and not times:
            raise FommError(f"{path} has no frames.", "Export the clip again.")
        tick = Fraction(stream.time_base)
        frames = len(times) if complete else (stream.frames or None)
        if stream.duration:
            duration: Fraction | None = stream.duration * tick
        else:
            duration = Fraction(container.duration, 1_000_000) if container.duration else None
        if complete and len(times) > 1:
            average = _checked(average, times, tick, bool(stream.average_rate))
        has_audio = sound_stream(container) is not None
        mute = "its codec is unknown" if container.streams.audio and not has_audio else ""
        codec = codec_name(stream)
        constant = grid(container, times, average, tick) is not None
    turn, width, height = _geometry(path)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frames=frames,
        rate=average,
        duration=duration,
        has_audio=has_audio,
        rotation=turn,
        variable_rate=not constant and _uneven(times, 1 / average / tick),
        codec=codec,
        time_base=tick,
        mute=mute,
    )


def scan(container: Any, stream: Any) -> tuple[list[int], bool]:
    """Sorted times, in ticks, of the first packets, and whether they are all there are."""
    untimed = keeps_no_times(container)
    seen = [p.dts if untimed else p.pts for p in islice(packets(container, stream), SCANNED)]
    return sorted(time for time in seen if time is not None) or list(range(len(seen))), len(seen) < SCANNED


def grid(container: Any, times: list[int], rate: Fraction, tick: Fraction) -> Fraction | None:
    """The constant rate that stands behind times rounded to a clock too coarse for it; None where there is none.

    29.97 frames a second in milliseconds come at 33, 67, 100: all lie within one rounding of multiples of 1001/30000.
    A GIF's hundredths are what its viewers go by, and a step of whole ticks needs no rounding.
    """
    step = 1 / rate / tick
    if len(times) < 2 or step.denominator == 1 or step < 4 or container.format.name == "gif":
        return None
    if rate.denominator not in (1, 1001):
        return None
    off = np.array(times, dtype=np.float64) - times[0]
    off -= np.round(off / float(step)) * float(step)
    return rate if off.max() - off.min() <= 1 + 1e-6 else None


def _checked(average: Fraction, times: list[int], tick: Fraction, told: bool) -> Fraction:
    """The container's average rate, or what all the times say: where it tells none, or steps are equal and another."""
    measured = (len(times) - 1) / ((times[-1] - times[0]) * tick) if times[-1] > times[0] else average
    even = len(set(np.diff(times).tolist())) == 1
    off = abs(average / measured - 1) > Fraction(1, 50)
    return exact_rate(measured) if not told or (even and off) else average


def _uneven(times: list[int], step: Fraction) -> bool:
    """Whether any step is further from the average than rounding to ticks and the jitter of a camera explain."""
    gaps = np.diff(np.array(times, dtype=np.float64))
    gaps = gaps[gaps > 0]
    return bool(len(gaps) > 1 and np.abs(gaps - float(step)).max() > max(1.5, 0.02 * float(step)))


def _geometry(path: Path) -> tuple[int, int, int]:
    """Rotation and the size as seen, from the first frame: only frames carry the display matrix everywhere.

    The file is opened once more: not every format can be wound back.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        for frame, _ in Decoder(container, stream, lenient=True):
            view = Orientation.of(frame)
            height, width = square_size(frame, stream)
            return (view.degrees, height, width) if view.swaps else (view.degrees, width, height)
    raise FommError(f"{path} has no frame that can be decoded.", "Export the clip again.")


def _probe_pictures(path: Path, rate: Fraction) -> VideoInfo:
    pictures = image_files(path) if path.is_dir() else [path]
    with open_image(pictures[0]) as image:
        try:
            turned = image.getexif().get(0x0112, 1) >= 5
        except (OSError, SyntaxError, ValueError):  # told when it is read
            turned = False
        width, height = image.size[::-1] if turned else image.size
    lasting = [] if path.is_dir() else steps(path)
    uneven = len(set(lasting)) > 1
    count = len(lasting) or len(pictures)
    length = sum(lasting, Fraction(0)) if lasting else count / rate
    if lasting:
        rate = exact_rate(count / length)
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frames=count,
        rate=rate,
        duration=length,
        has_audio=False,
        rotation=0,
        variable_rate=uneven,
        codec="images" if path.is_dir() else still_format(path),
        time_base=Fraction(1, 1000) if uneven else 1 / rate,
    )

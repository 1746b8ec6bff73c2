"""What a clip is before any of it is decoded, and the one way a media file is opened."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media.image import MAX_PIXELS, Frame, open_image
from fomm_cli.media.sequence import DEFAULT_RATE, image_files, is_sequence, still_format

SCANNED = 1000
"""Packets looked at to count frames and to tell a variable rate from a constant one."""

# Containers that hold their own frames. Playlists (hls, concat, dash, sdp) stay out: they open other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,gif,apng,flv,asf,ogg,mxf,nut,rm,dv,h264,hevc,m4v,"
    "vc1,av1,obu,ivf,yuv4mpegpipe,swf,wtv,bink,smk,nsv,roq,flic,mjpeg,webp_pipe,wav,mp3,aac,flac,w64,aiff"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


SWS: Any = 4
"""How ffmpeg converts pixels: bicubic, its quick way. Accurate rounding took five times as long and, on real clips
through x264 and back, came out further from the original."""


@dataclass(frozen=True)
class VideoInfo:
    """A clip as a viewer sees it.

    width, height  pixels, after rotation and after stretching to square pixels
    frames         their number, None where only decoding would tell
    rate           frames per second, exact (30000/1001); the average of a variable-rate clip
    duration       seconds, None where unknown
    rotation       degrees counterclockwise the stored picture is turned by for viewing: 0, 90, 180 or 270
    variable_rate  whether the frames come at uneven times (judged by the first thousand)
    codec          ffmpeg's name, such as h264; "images" for a folder of pictures
    time_base      seconds per tick of the clip's clock
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


@contextlib.contextmanager
def open_media(path: str | Path) -> Iterator[Any]:
    """A container opened for reading, from this file alone: no network and no other file, whatever it asks for."""
    path = Path(path)
    if not path.exists():
        raise FommError(f"{path} does not exist.", "Check the path.")
    if not path.is_file():
        raise FommError(f"{path} is not a regular file.", "Name a video, a GIF or a folder of pictures.")
    disk.check_payload(path, "a video")
    try:
        container = av.open(str(path.resolve()), options=_OPTIONS)
    except av.error.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise disk.explain_os_error(error, path, "read") from error
        raise FommError(
            f"{path} cannot be read as a video: {_reason(error)}.",
            "It may be incomplete (the end of an mp4 holds its index) or no video at all; fetch or export it again.",
        ) from error
    try:
        yield container
    except av.error.FFmpegError as error:
        raise FommError(
            f"{path} is damaged: {_reason(error)}.", f"Repair it first: ffmpeg -i {path.name} repaired.mp4"
        ) from error
    finally:
        container.close()


def _reason(error: av.error.FFmpegError) -> str:
    return (error.strerror or str(error)).rstrip(".").lower()


def video_stream(container: Any, path: str | Path) -> Any:
    """The stream with the picture, set to decode on several threads; cover art does not count."""
    streams = [s for s in container.streams.video if not _is_cover(s) and s.codec_context is not None]
    if not streams:
        raise FommError(f"{path} has no picture in it.", "Name a file with video, not sound alone.")
    stream = streams[0]
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise FommError(f"{path} has frames of {context.width} x {context.height} pixels.", "Scale it down first.")
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may also grow on the way
    stream.thread_type = "AUTO"
    return stream


def _is_cover(stream: Any) -> bool:
    flags = stream.disposition  # a number or an enumeration, by PyAV's version
    return bool(getattr(flags, "value", flags) & 0x400)


def stream_rate(stream: Any) -> Fraction:
    """Frames per second: the container's average, with the NTSC rates exact where it rounded them."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= 1000:
            return exact_rate(Fraction(rate))
    return DEFAULT_RATE


def exact_rate(rate: Fraction) -> Fraction:
    """The rate that was meant: N or N * 1000/1001 within a hundredth of a percent, else the rate itself."""
    for meant in (Fraction(round(rate)), Fraction(round(rate * 1001 / 1000) * 1000, 1001)):
        if meant and abs(rate / meant - 1) < Fraction(1, 10_000):
            return meant
    return rate


def codec_name(stream: Any) -> str:
    """The format's name, such as av1 or mp3, whichever decoder reads it."""
    return stream.codec_context.codec.canonical_name


def start_time(container: Any) -> Fraction:
    """Seconds at which the file begins: picture and sound are timed from here, so that they stay in step."""
    return Fraction(container.start_time or 0, 1_000_000)


class Orientation(NamedTuple):
    """How the stored picture is turned for viewing: first the axes swap, then the flips.

    degrees  the turn counterclockwise, 0, 90, 180 or 270 (a mirrored picture has the turn that is left of it)
    """

    swaps: bool
    flips_x: bool
    flips_y: bool
    degrees: int

    @staticmethod
    def of(frame: Any) -> Orientation:
        """Read off the display matrix: a stored step right becomes (a, b) on the screen, a step down (c, d)."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return Orientation(False, False, False, 0)
        a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), dtype=np.int32)[:5])
        degrees = round(-math.degrees(math.atan2(b, a)) / 90) % 4 * 90
        if abs(a) >= abs(b):
            return Orientation(False, a < 0, d < 0, degrees)
        return Orientation(True, c < 0, b < 0, degrees)

    def apply(self, picture: Frame) -> Frame:
        """`picture` (H, W, 3) as it is to be seen."""
        if self.swaps:
            picture = picture.swapaxes(0, 1)
        if self.flips_x:
            picture = picture[:, ::-1]
        if self.flips_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


def square_size(frame: Any, stream: Any) -> tuple[int, int]:
    """(H, W) of the stored frame with its pixels made square, by stretching the narrow side."""
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, 8) < aspect < 8:
        aspect = Fraction(1)
    if aspect >= 1:
        return frame.height, round(frame.width * aspect)
    return round(frame.height / aspect), frame.width


def probe(path: str | Path) -> VideoInfo:
    """Size, rate, length and sound of a video, a GIF, an animated picture or a folder of pictures."""
    path = Path(path)
    if is_sequence(path):
        return _probe_pictures(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        rate = stream_rate(stream)
        times, complete = _scan(container, stream)
        if complete and not times:
            raise FommError(f"{path} has no frames.", "Export the clip again.")
        tick = Fraction(stream.time_base)
        frames = len(times) if complete else (stream.frames or None)
        if stream.duration:
            duration: Fraction | None = stream.duration * tick
        else:
            duration = Fraction(container.duration, 1_000_000) if container.duration else None
        if complete and len(times) > 1 and not stream.average_rate:
            rate = exact_rate((len(times) - 1) / ((times[-1] - times[0]) * tick))
        turn, width, height = _geometry(container, stream, path)
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            frames=frames,
            rate=rate,
            duration=duration,
            has_audio=bool(container.streams.audio),
            rotation=turn,
            variable_rate=_uneven(times, rate, tick),
            codec=codec_name(stream),
            time_base=tick,
        )


def _scan(container: Any, stream: Any) -> tuple[list[int], bool]:
    """Sorted times, in ticks, of the first packets, and whether they are all there are."""
    packets = (packet for packet in container.demux(stream) if packet.size)
    seen = list(islice(packets, SCANNED))
    complete = len(seen) < SCANNED
    return sorted(p.pts for p in seen if p.pts is not None) or list(range(len(seen))), complete


def _uneven(times: list[int], rate: Fraction, tick: Fraction) -> bool:
    """Whether the steps differ by more than rounding to ticks explains."""
    steps = np.diff(np.array(times, dtype=np.float64))
    steps = steps[steps > 0]
    if len(steps) < 2:
        return False
    expected = float(1 / rate / tick)
    return bool(np.abs(steps - expected).max() > max(1.5, 0.02 * expected))


def _geometry(container: Any, stream: Any, path: Path) -> tuple[int, int, int]:
    """Rotation and the size as seen, from the first frame: only frames carry the display matrix everywhere."""
    container.seek(0)
    for frame in container.decode(stream):
        view = Orientation.of(frame)
        height, width = square_size(frame, stream)
        return (view.degrees, height, width) if view.swaps else (view.degrees, width, height)
    raise FommError(f"{path} has no frame that can be decoded.", "Export the clip again.")


def _probe_pictures(path: Path) -> VideoInfo:
    if path.is_dir():
        pictures = image_files(path)
        with open_image(pictures[0]) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            width, height = image.size[::-1] if turned else image.size
        count, rate, uneven = len(pictures), DEFAULT_RATE, False
    else:
        with open_image(path) as image:
            count = getattr(image, "n_frames", 1)
            turned = image.getexif().get(0x0112, 1) >= 5
            width, height = image.size[::-1] if turned else image.size
            steps = []
            for index in range(count if count > 1 else 0):
                image.seek(index)
                image.load()  # WebP tells how long a frame lasts only once it is decoded
                steps.append(Fraction(round(image.info.get("duration", 0) or 40), 1000))
        rate = exact_rate(count / sum(steps, Fraction(0))) if steps else DEFAULT_RATE
        uneven = len(set(steps)) > 1
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        frames=count,
        rate=rate,
        duration=count / rate,
        has_audio=False,
        rotation=0,
        variable_rate=uneven,
        codec="images" if path.is_dir() else still_format(path),
        time_base=Fraction(1, 1000) if uneven else 1 / rate,
    )

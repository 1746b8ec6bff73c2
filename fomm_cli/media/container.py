"""The one way a media file is opened, which of its streams count, and their packets on one clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media.image import MAX_PIXELS
from fomm_cli.media.sequence import DEFAULT_RATE

# Containers that hold their own frames. Playlists (hls, concat, dash, sdp) stay out: they open other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,gif,apng,flv,asf,ogg,mxf,nut,rm,dv,h264,hevc,m4v,"
    "vc1,av1,obu,ivf,yuv4mpegpipe,swf,wtv,bink,smk,nsv,roq,flic,mjpeg,webp_pipe,wav,mp3,aac,flac,w64,aiff"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}

_JUMP = Fraction(10)
"""Seconds by which a broadcast's clock may step ahead and mean it; ffmpeg's own threshold."""


@contextlib.contextmanager
def open_media(path: str | Path) -> Iterator[Any]:
    """A container opened for reading, from this file alone: no network and no other file, whatever it asks for."""
    path = Path(path)
    check_readable(path)
    try:
        container = av.open(str(path.resolve()), options=_OPTIONS)
    except av.error.FFmpegError as error:
        if isinstance(error, PermissionError):
            raise disk.explain_os_error(error, path, "read") from error
        raise FommError(
            f"{path} cannot be read as a video: {said(error)}.",
            "It may be incomplete (the end of an mp4 holds its index) or no video at all; fetch or export it again.",
        ) from error
    try:
        yield container
    except av.error.FFmpegError as error:
        raise FommError(f"{path} is damaged: {said(error)}.", repair(path)) from error
    finally:
        container.close()


def check_readable(path: Path) -> None:
    """Refuse what is no regular file with something in it, and say why."""
    try:
        if not path.exists():
            raise FommError(f"{path} does not exist.", "Check the path.")
        if not path.is_file():
            raise FommError(f"{path} is not a regular file.", "Name a video, a GIF or a folder of pictures.")
    except OSError as error:
        raise disk.explain_os_error(error, path, "read") from error
    disk.check_payload(path, "a video")


def said(error: av.error.FFmpegError) -> str:
    """ffmpeg's reason, to stand within a sentence."""
    return (error.strerror or str(error)).rstrip(".").lower()


def repair(path: Path) -> str:
    """What to do about a damaged clip."""
    return f"Fetch it again, or keep what can be read with: ffmpeg -i {path.name} repaired.mp4"


def video_stream(container: Any, path: str | Path) -> Any:
    """The stream a player shows, set to decode on several threads; cover art does not count."""
    streams = [s for s in container.streams.video if not _is_cover(s) and s.codec_context is not None]
    if not streams:
        raise FommError(f"{path} has no picture in it.", "Name a file with video, not sound alone.")
    best = container.streams.best("video")  # the default one, and of several the one with frames in plenty
    stream = best if best in streams else streams[0]
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise FommError(f"{path} has frames of {context.width} x {context.height} pixels.", "Scale it down first.")
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may also grow on the way
    stream.thread_type = "AUTO"
    return stream


def _is_cover(stream: Any) -> bool:
    flags = stream.disposition  # a number or an enumeration, by PyAV's version
    return bool(getattr(flags, "value", flags) & 0x400)


def sound_stream(container: Any, track: int | None = None) -> Any:
    """The sound a player plays, or track `track` counted from 1; None where there is none that can be decoded."""
    streams = container.streams.audio
    if track is not None:
        if not 1 <= track <= len(streams):
            raise FommError(f"There is no sound track {track}: the clip has {len(streams)}.", "Tracks count from 1.")
        chosen = streams[track - 1]
    else:
        chosen = container.streams.best("audio")
        if chosen is None or chosen.codec_context is None:
            chosen = next((stream for stream in streams if stream.codec_context is not None), None)
    return chosen if chosen is not None and chosen.codec_context is not None else None


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
    """Seconds at which the file begins: picture and sound are timed from here, so that they stay in step.

    Exact: the container keeps microseconds, the stream that begins first keeps its own ticks.
    """
    rough = Fraction(container.start_time or 0, 1_000_000)
    exact = [s.start_time * Fraction(s.time_base) for s in container.streams if s.start_time is not None]
    close = [time for time in exact if abs(time - rough) <= Fraction(1, 1_000_000)]
    return min(close, default=rough)


def keeps_no_times(container: Any) -> bool:
    """Whether packets only take turns (AVI): a picture's turn is its time, and whatever pts is read off is made up."""
    return container.format.name == "avi"


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of one stream with something in them; a broadcast's clock runs on where it was set anew.

    Joined transport streams begin again somewhere else: picture and sound are put off by the same, found from all
    packets of the file, so that both stay in step. Empty packets (Theora repeats a frame with one) hold nothing to
    decode, and a decoder would take them for the end.
    """
    joined = bool(container.format.flags & 0x0200)  # AVFMT_TS_DISCONT
    chosen = [s for s in container.streams if s.type in {"video", "audio"}] if joined else [stream]
    shift = Fraction(0)
    before: dict[int, tuple[Fraction, Fraction]] = {}  # of each stream: the last packet's time, and its end
    for packet in container.demux(chosen):
        if not packet.size:
            continue
        if joined and packet.dts is not None:
            tick = Fraction(packet.time_base)
            time = packet.dts * tick + shift
            last, due = before.get(packet.stream_index, (time, time))
            if time < last or time - due > _JUMP:
                shift += due - time
                time = due
            before[packet.stream_index] = time, time + (packet.duration or 0) * tick
        if packet.stream_index != stream.index:
            continue
        if shift:
            step = round(shift / Fraction(packet.time_base))
            packet.dts = None if packet.dts is None else packet.dts + step
            packet.pts = None if packet.pts is None else packet.pts + step
        yield packet

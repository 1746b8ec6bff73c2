"""The sound of one clip carried into another: copied where the container takes it, else encoded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from fomm_cli.media.container import codec_name, open_media, packets, sound_stream, start_time
from fomm_cli.media.sequence import is_sequence

_COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "mp2"},
    ".webm": {"opus", "vorbis"},
    ".wav": set(),
}
_ENCODERS = {".webm": "libopus", ".wav": "pcm_s16le"}
_RATES = {"aac": {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000}, "libopus": {48000}}

_SLACK = Fraction(1, 20)
"""Seconds by which blocks of sound may be off their place before a gap is filled."""


class Sound:
    """One sound track on its way from a clip to a container, a little ahead of the picture.

    Its times are counted from the begin of its file, as those of the frames are: so both stay in step.
    written   packets and blocks that were passed on so far
    first     sample at which the first block that was encoded begins
    """

    def __init__(
        self,
        stack: contextlib.ExitStack,
        container: Any,
        stream: Any,
        encoder: str | None,
        begin: Fraction,
        end: Fraction | None,
    ) -> None:
        self._stack, self._input, self._encoder = stack, stream, encoder
        stream.thread_type = "AUTO"
        self._begin, self._end, self._zero = begin, end, start_time(container) + begin
        self._packets = packets(container, stream)
        self._reached: Fraction | None = None
        self._done = False
        self._resampler: Any = None
        self._shape: tuple[str, str, int] | None = None
        self._last: int | None = None  # dts of the packet passed on last
        self._next: int | None = None  # sample at which the next block begins
        self._skew = 0  # samples by which a clock that stepped back is put forward
        self.written = self.first = 0

    @classmethod
    def open(
        cls,
        path: Path,
        suffix: str,
        track: int | None = None,
        begin: Fraction = Fraction(0),
        end: Fraction | None = None,
    ) -> Sound | None:
        """The sound of `path` for a container of that suffix; None where there is none that can be decoded.

        track       counted from 1; None = the one a player plays
        begin, end  the stretch that is carried over, in seconds of the clip
        """
        if is_sequence(path):
            return None
        with contextlib.ExitStack() as stack:
            container = stack.enter_context(open_media(path))
            stream = sound_stream(container, track)
            if stream is None:
                return None
            copied = codec_name(stream) in _COPIED[suffix] and _keeps_its_shape(path, track)
            encoder = None if copied else _ENCODERS.get(suffix, "aac")
            return cls(stack.pop_all(), container, stream, encoder, begin, end)
        return None

    def attach(self, container: Any) -> None:
        """Add the track to the container that is written."""
        self._container = container
        if self._encoder is None:
            self._output = container.add_stream_from_template(self._input)
            return
        context = self._input.codec_context
        self._rate = context.rate if context.rate in _RATES.get(self._encoder, {context.rate}) else 48000
        self._output = container.add_stream(self._encoder, rate=self._rate)
        layout = "mono" if context.channels == 1 else "stereo"  # WAV names no layout
        self._output.codec_context.layout = layout
        if self._encoder in _RATES:
            self._output.codec_context.bit_rate = 96_000 if context.channels == 1 else 160_000
        self._made = (self._output.codec_context.format.name, layout, self._rate)

    def pump(self, until: Fraction | None) -> None:
        """Pass on what sounds up to `until` seconds; None = all the rest."""
        while not self._done and (until is None or self._reached is None or self._reached < until):
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError:
                packet = None  # a broken end costs the rest of the sound, not the film
            if packet is None:
                self._finish()
                return
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                self._reached = stamp * Fraction(packet.time_base) - self._zero
                if self._end is not None and self._reached >= self._end - self._begin:
                    self._finish()
                    return
            if self._encoder is not None:
                self._encode(packet)
            elif self._begin == 0 or (self._reached is not None and self._reached >= 0):
                self._pass(packet)

    def _pass(self, packet: Any) -> None:
        if packet.dts is None:
            return
        shift = round(self._zero / Fraction(packet.time_base))
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        if self._last is not None and packet.dts <= self._last:  # a container wants them to rise
            ahead = self._last + 1 - packet.dts
            packet.dts += ahead
            packet.pts = None if packet.pts is None else packet.pts + ahead
        self._last = packet.dts
        packet.stream = self._output
        self._container.mux(packet)
        self.written += 1

    def _encode(self, packet: Any) -> None:
        """Decode a packet, None = what the decoder still holds, and encode what comes of it."""
        try:
            frames = self._input.codec_context.decode(packet)
        except av.error.FFmpegError:
            return  # one damaged packet is a click
        for frame in frames:
            tick = Fraction(frame.time_base or self._input.time_base)  # none on what comes after the last packet
            time = None if frame.pts is None else frame.pts * tick - self._zero
            if self._begin and time is not None and time < 0:
                continue
            self._place(time)
            for block in self._resampled(frame):
                self._write(block)

    def _place(self, time: Fraction | None) -> None:
        """Find the sample at which a block begins; a gap before it is filled with silence."""
        if time is None:
            self._next = self._next or 0
            return
        due, slack = round(time * self._rate) + self._skew, int(_SLACK * self._rate)
        if self._next is None:
            self._next = due
        elif due < self._next - slack:
            self._skew += self._next - due
        elif due > self._next + slack and self._resampler is not None:
            for block in self._resampler.resample(None):
                self._write(block)
            self._resampler = None
            while self._next < due:
                self._write(self._silence(min(due - self._next, self._rate)))

    def _silence(self, samples: int) -> Any:
        name, layout, _ = self._made
        planar, channels = av.AudioFormat(name).is_planar, 1 if layout == "mono" else 2
        kind = np.float32 if name.startswith("flt") else np.int16
        blank = np.zeros((channels, samples) if planar else (1, samples * channels), dtype=kind)
        return av.AudioFrame.from_ndarray(blank, format=name, layout=layout)

    def _resampled(self, frame: Any) -> Iterator[Any]:
        """The block as the encoder takes it; a broadcast may change its channels or rate on the way."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._shape:
            if self._resampler is not None:
                yield from self._resampler.resample(None)
            self._resampler, self._shape = av.AudioResampler(*self._made), shape
        frame.pts = None
        yield from self._resampler.resample(frame)

    def _write(self, block: Any) -> None:
        self.first = self.first if self.written else self._next or 0
        block.sample_rate, block.pts, block.time_base = self._rate, self._next, Fraction(1, self._rate)
        self._next = (self._next or 0) + block.samples
        self._container.mux(self._output.encode(block))
        self.written += 1

    def _finish(self) -> None:
        self._done = True
        if self._encoder is None:
            return
        self._encode(None)
        if self._resampler is not None:
            for block in self._resampler.resample(None):
                self._write(block)
        if self.written:
            self._container.mux(self._output.encode())

    def close(self) -> None:
        """Let the clip go."""
        self._stack.close()


def _keeps_its_shape(path: Path, track: int | None) -> bool:
    """Whether rate and channels stay the same to the end: a copy has room for one description of them.

    Only streams made for broadcasting, whose packets describe themselves, may change.
    """
    with open_media(path) as container:
        stream = sound_stream(container, track)
        if container.format.name not in {"mpegts", "mpeg", "flv", "avi"}:
            return True
        kind, first = codec_name(stream), None
        with contextlib.suppress(av.error.FFmpegError):  # told when it is read
            for packet in packets(container, stream):
                shape = _shape(kind, bytes(memoryview(packet)[:8]))
                first = shape if first is None else first
                if shape != first:
                    return False
    return True


def _shape(codec: str, head: bytes) -> tuple[int, ...]:
    """What a packet's header says of rate and channels; empty where there is no such header."""
    if len(head) < 8:
        return ()
    if codec == "aac" and head[0] == 0xFF and head[1] & 0xF0 == 0xF0:
        return head[2] & 0xFD, head[3] & 0xC0
    if codec in {"mp2", "mp3"} and head[0] == 0xFF:
        return head[1] & 0xFE, head[2] & 0x0C, int(head[3] >> 6 == 3)
    if codec in {"ac3", "eac3"} and head[:2] == b"\x0b\x77":
        return (head[4] & 0xC0, head[6] >> 5) if codec == "ac3" else (head[4] & 0xCF,)
    return ()

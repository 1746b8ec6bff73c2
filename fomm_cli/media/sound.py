"""The sound of one clip carried into another: copied where the container takes it, else encoded again."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from fomm_cli.media.probe import codec_name, open_media, start_time
from fomm_cli.media.sequence import is_sequence

_COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "mp2"},
    ".webm": {"opus", "vorbis"},
}
_RATES = {"aac": {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000}, "libopus": {48000}}


class Sound:
    """One sound track on its way from a clip to a container, a little ahead of the picture.

    Its times are counted from the begin of its file, as those of the frames are: so both stay in step.
    """

    def __init__(self, path: Path, suffix: str, stack: contextlib.ExitStack, container: Any) -> None:
        self._stack = stack
        self._input = container.streams.audio[0]
        self._input.thread_type = "AUTO"
        self._copy = codec_name(self._input) in _COPIED[suffix]
        self._encoder = "libopus" if suffix == ".webm" else "aac"
        tick = Fraction(self._input.time_base)
        self._shift = round(start_time(container) / tick)
        self._packets = container.demux(self._input)
        self._reached: Fraction | None = None
        self._done = False

    @classmethod
    def open(cls, path: Path, suffix: str) -> Sound | None:
        """The first sound track of `path` for a container of that suffix; None where there is no sound."""
        if is_sequence(path):
            return None
        with contextlib.ExitStack() as stack:
            container = stack.enter_context(open_media(path))
            if not container.streams.audio or not container.streams.audio[0].codec_context:
                return None
            return cls(path, suffix, stack.pop_all(), container)
        return None

    def attach(self, container: Any) -> None:
        """Add the track to the container that is written."""
        self._container = container
        if self._copy:
            self._output = container.add_stream_from_template(self._input)
            return
        context = self._input.codec_context
        known = _RATES[self._encoder]
        rate = context.rate if context.rate in known else 48000
        self._output = container.add_stream(self._encoder, rate=rate)
        self._output.codec_context.layout = "mono" if context.channels == 1 else "stereo"  # WAV names no layout
        self._output.codec_context.bit_rate = 96_000 if context.channels == 1 else 160_000

    def pump(self, until: Fraction | None) -> None:
        """Pass on what sounds up to `until` seconds; None = all the rest."""
        while not self._done and (until is None or self._reached is None or self._reached < until):
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError:
                packet = None  # a broken end costs the rest of the sound, not the film
            if packet is None or packet.size == 0:
                self._finish()
                return
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                self._reached = (stamp - self._shift) * Fraction(packet.time_base)
            if self._copy:
                self._pass(packet)
            else:
                self._encode(packet)

    def _pass(self, packet: Any) -> None:
        if packet.dts is None:
            return
        packet.dts -= self._shift
        if packet.pts is not None:
            packet.pts -= self._shift
        packet.stream = self._output
        self._container.mux(packet)

    def _encode(self, packet: Any) -> None:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return  # one damaged packet is a click
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._shift * Fraction(self._input.time_base) / Fraction(frame.time_base))
            self._container.mux(self._output.encode(frame))

    def _finish(self) -> None:
        self._done = True
        if not self._copy:
            self._container.mux(self._output.encode())

    def close(self) -> None:
        """Let the clip go."""
        self._stack.close()

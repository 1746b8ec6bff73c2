"""Packets to pictures: every frame a decoder gives, in the order of showing, with the time at which it is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import av.error

from fomm_cli.media.container import codec_name, keeps_no_times, packets
from fomm_cli.media.image import MAX_PIXELS

_KEEPS_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""ffmpeg's own decoders of these leave out the transparency that WebM stores beside the picture."""


class Decoded(NamedTuple):
    """stamp  in ticks of the stream's clock; None where the file has no time for the frame"""

    picture: Any
    stamp: int | None


class Decoder:
    """The frames of a stream, from where its container stands.

    lenient      pass over what cannot be decoded, and keep the last reason in `error`, instead of raising
    frames       decoded so far
    corrupt      of these, so many the decoder calls damaged: what was missing is guessed. Those before the first whole
                 one and after the last do not count: recordings begin and end in mid-stream
    early_error  why nothing could be decoded before the first frame; of interest where none follows
    """

    def __init__(self, container: Any, stream: Any, lenient: bool = False) -> None:
        self._container, self._stream, self._lenient = container, stream, lenient
        self._context = _context(stream)
        self._early: list[int] = []  # times of what was sent before the first frame came out
        self._due = 0
        self.frames = self.corrupt = 0
        self.error: av.error.FFmpegError | None = None
        self.early_error: av.error.FFmpegError | None = None

    def __iter__(self) -> Iterator[Decoded]:
        turns: deque[int] = deque()
        clock = _BestEffort()
        untimed = keeps_no_times(self._container)
        guessed: int | None = None  # damaged pictures since the last whole one; None before the first
        for packet in self._packets():
            if packet is not None:
                if untimed and packet.dts is not None:
                    turns.append(packet.dts)
                self._count(packet)
            for picture in self._decode(packet):
                stamp = clock.of(picture.pts, picture.dts)
                if untimed:
                    stamp = turns.popleft() if turns else None
                self.frames += 1
                if not picture.is_corrupt:
                    self.corrupt += guessed or 0
                    guessed = 0
                elif guessed is not None:
                    guessed += 1
                if self.frames == 1:
                    self._due = sum(picture.pts is not None and time >= picture.pts for time in self._early)
                yield Decoded(picture, stamp)

    @property
    def lost(self) -> int:
        """Pictures that are stored and were not decoded, once the end is reached.

        Those shown before the first that was do not count: they lean on what was cut off, as in any recording that
        begins in mid-stream.
        """
        return max(0, self._due - self.frames) if self.frames else len(self._early)

    def _count(self, packet: Any) -> None:
        if packet.pts is None or packet.is_discard:
            return
        if self.frames:
            self._due += 1
        else:
            self._early.append(packet.pts)

    def _packets(self) -> Iterator[Any]:
        """The packets, then None for what the decoder still holds."""
        try:
            yield from packets(self._container, self._stream)
        except av.error.FFmpegError as error:
            self._failed(error)
        yield None

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return self._context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._failed(error)
            return []

    def _failed(self, error: av.error.FFmpegError) -> None:
        if not self.frames:  # a recording that begins in mid-stream: what leans on earlier pictures cannot be decoded
            self.early_error = error
            return
        if not self._lenient:
            raise error
        self.error = error


class _BestEffort:
    """A frame's time by its pts, or by its dts where those go wrong more seldom: ffmpeg's best-effort time."""

    def __init__(self) -> None:
        self._wrong = {"pts": 0, "dts": 0}
        self._last: dict[str, int] = {}

    def of(self, pts: int | None, dts: int | None) -> int | None:
        for name, value in (("pts", pts), ("dts", dts)):
            if value is not None:
                self._wrong[name] += name in self._last and value <= self._last[name]
                self._last[name] = value
        if pts is not None and (dts is None or self._wrong["pts"] <= self._wrong["dts"]):
            return pts
        return dts


def _context(stream: Any) -> Any:
    """What decodes the stream: its own context, or one that keeps its transparency."""
    name = _KEEPS_ALPHA.get(codec_name(stream))
    if name is None or stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1":
        return stream.codec_context
    try:
        context = av.CodecContext.create(name, "r")
    except (av.codec.codec.UnknownCodecError, ValueError):
        return stream.codec_context
    context.extradata = stream.codec_context.extradata
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return context

"""Writing clips: films, animated pictures or a folder of png; whole or not at all, in time and with sound."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import av
import av.error
import numpy as np
from PIL import Image

from fomm_cli.errors import FommError
from fomm_cli.files import disk, folder
from fomm_cli.media import animated
from fomm_cli.media.image import Frame
from fomm_cli.media.provenance import Mark
from fomm_cli.media.signing import Signer
from fomm_cli.media.sound import Sound
from fomm_cli.media.view import SWS

MOVIES = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
SUFFIXES = [*MOVIES, ".gif", *animated.SUFFIXES, ""]
_FINEST = 1_000_000
_LOOK = 40 << 21  # pixels that an encoder looks ahead: of frames up to two megapixels as many as it likes
_BT709 = 1
_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION


class _Sink(Protocol):
    def write(self, frame: Frame, time: Fraction, lasts: Fraction) -> None: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class VideoWriter:
    """Frames in, a file out; nothing stands at `path` until the `with` block has ended well.

    >>> with VideoWriter("out.mp4", Fraction(30000, 1001)) as writer:
    ...     writer.write(frame)

    path        its suffix decides: mp4, m4v, mov, mkv (H.264), webm (VP9), gif, webp, apng, none = a folder of png
    rate        frames per second, exact; where frames come with times of their own, the rate they average to
    size        (H, W) all frames will have; None = that of the first
    crf         quality, lower is better: 0 to 51 for H.264, 0 to 63 for VP9
    audio_from  a clip whose sound goes along: copied where the container takes it, else AAC or Opus; a clip without
                sound is no error, and pictures have no place for it
    track       which of its sound tracks, counted from 1; None = the one a player plays
    span        the stretch of its sound, (begin, end) in seconds of the clip; end None = all the rest
    heard       afterwards: whether any sound was written
    mark        what the file says of how it was made; None = nothing
    signer      signs the mark
    time_base   seconds per tick of the clock the frame times come from, so that they can be kept to the tick
    H.264 in 4:2:0 wants even sides: an odd one is grown by repeating the last row or column.
    """

    def __init__(
        self,
        path: str | Path,
        rate: Fraction,
        size: tuple[int, int] | None = None,
        crf: int = 18,
        audio_from: str | Path | None = None,
        force: bool = False,
        time_base: Fraction | None = None,
        track: int | None = None,
        span: tuple[Fraction, Fraction | None] = (Fraction(0), None),
        mark: Mark | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.path = Path(path)
        self.rate = Fraction(rate)
        self.size = size
        self.count = 0
        self.heard = False
        self._track, self._span = track, span
        self._mark, self._signer = mark, signer
        self._crf = crf
        self._audio_from = None if audio_from is None else Path(audio_from)
        self._force = force
        self._tick = clock(self.rate, time_base)
        self._sink: _Sink | None = None
        self._sound: Sound | None = None
        self._stack = contextlib.ExitStack()
        check_suffix(self.path)
        if not 0 <= crf <= (limit := 63 if self.path.suffix.lower() == ".webm" else 51):
            raise FommError(f"Quality {crf} is out of range for {self.path.name}.", f"Use --crf 0 to {limit}.")

    def __enter__(self) -> VideoWriter:
        if self.path.suffix:
            self._temporary = self._stack.enter_context(disk.atomic_path(self.path, self._force, claimed=True))
        else:
            self._temporary = self._stack.enter_context(folder.atomic_folder(self.path, self._force))
        return self

    def write(self, frame: Frame, time: Fraction | None = None, lasts: Fraction | None = None) -> None:
        """Append a frame, uint8 RGB (H, W, 3), or with transparency (H, W, 4) where the format has any.

        time   seconds at which it is shown, None = one step of the rate after the last
        lasts  seconds it is shown, None = one step of the rate; the next frame cuts it short, only the last has its way
        """
        height, width = frame.shape[:2]
        if frame.dtype != np.uint8 or frame.shape not in {(height, width, 3), (height, width, 4)}:
            raise ValueError(f"a frame is uint8 (H, W, 3) or (H, W, 4), not {frame.dtype} {frame.shape}")
        self.size = self.size or (height, width)
        clear = frame.shape[2] == 4
        if (height, width) != self.size:
            raise ValueError(f"frame {self.count} is {(height, width)}, the clip {self.size}")
        with self._explained():
            if self._sink is None:
                self._sink = self._open(clear)
            self._sink.write(frame, self.count / self.rate if time is None else time, lasts or 1 / self.rate)
        self.count += 1

    def _open(self, clear: bool) -> _Sink:
        assert self.size is not None
        suffix = self.path.suffix.lower()
        if not suffix:
            return _Pictures(self._temporary, self._mark)
        if suffix == ".gif":
            return _Gif(self._temporary, self.rate, self.size, self._mark)
        if suffix in animated.SUFFIXES:
            kind = animated.AnimatedWebp if suffix == ".webp" else animated.AnimatedPng
            return kind(self._temporary, self.size, clear, self._mark)
        self._sound = Sound.open(self._audio_from, suffix, self._track, *self._span) if self._audio_from else None
        coding = _coding(suffix, self._crf, clear, self.size)
        return _Movie(self._temporary, suffix, self.rate, self._tick, self.size, coding, self._sound, self._mark)

    def _sign(self) -> None:
        if self._mark is None or self._signer is None:
            return
        made = sorted(self._temporary.glob("*.png")) if self._temporary.is_dir() else [self._temporary]
        for path in made:
            self._signer.sign(path, self._mark)

    @contextlib.contextmanager
    def _explained(self) -> Any:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if isinstance(error, OSError):
                raise disk.explain_os_error(error, self.path) from error
            said = (error.strerror or str(error)).rstrip(".").lower()
            hint = "" if self.path.suffix.lower() == ".mp4" else "Try another format, such as .mp4."
            raise FommError(f"{self.path} could not be written: {said}.", hint) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as last:
            last.push(self._stack.pop_all())  # runs with whatever is raised here: the temporary goes or takes its name
            sink, self._sink = self._sink, None
            if error is not None:
                if sink is not None:
                    sink.abandon()
                raise error
            if sink is None:
                raise FommError(f"There are no frames to write to {self.path}.", "Check the driving clip.")
            try:
                with self._explained():
                    sink.finish()
                    self._sign()
                self.heard = self._sound is not None and self._sound.written > 0
            except BaseException:
                sink.abandon()
                raise


def check_suffix(path: Path) -> None:
    """Refuse, before any work, what names no file or folder, or one whose suffix is no format we write."""
    if str(path) == "-":
        raise FommError("Nothing is written to the standard output.", "Name a file, such as result.mp4.")
    if not path.name:
        raise FommError("The output has no name.", "Name a file, such as result.mp4.")
    if path.name.lower() in SUFFIXES or path.name == "..":
        raise FommError(f"{path.name} is no name for an output.", f"Put a name before it, such as result{path.name}.")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FommError(f"{path} is a device or a pipe, which nothing is written to.", "Name a file: result.mp4.")
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(s for s in SUFFIXES if s)
        raise FommError(f"{path.name} has no suffix of a format that is written here.", f"Use {known}, or none: png.")


def clock(rate: Fraction, time_base: Fraction | None) -> Fraction:
    """Seconds per tick of a clock in which both the steps of `rate` and the ticks of `time_base` are whole numbers.

    Where no such clock with at most a million ticks a second exists, 1/90000, the clock of broadcast streams.
    """
    step = 1 / rate
    if time_base is None:
        return step
    tick = Fraction(1, math.lcm(step.denominator, time_base.denominator))
    return tick if tick.denominator <= _FINEST else Fraction(1, 90_000)


class Coding(NamedTuple):
    """An encoder, the pixels it takes and its settings."""

    codec: str
    pixels: str
    settings: dict[str, str]


def _coding(suffix: str, crf: int, clear: bool, size: tuple[int, int]) -> Coding:
    """How frames, with transparency or without, are encoded in a format; of large ones fewer wait in the encoder."""
    if clear and suffix == ".mov":
        return Coding("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"})
    codec, settings, ahead = MOVIES[suffix], {"crf": str(crf)}, max(5, _LOOK // (size[0] * size[1]))
    if codec == "libvpx-vp9":
        settings |= {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
        settings |= {"lag-in-frames": str(ahead)} if ahead < 25 else {}
        return Coding(codec, "yuva420p" if clear else "yuv420p", settings)
    if clear:
        raise FommError(f"{suffix} has no transparency.", "Write webm, mov, webp, apng, gif or a folder of png.")
    settings |= {"rc-lookahead": str(ahead)} if ahead < 40 else {}
    settings |= {"bf": "0", "refs": "1"} if ahead == 5 else {}  # each frame to refer to is one more
    return Coding(codec, "yuv420p", settings)


class _Movie:
    """H.264 or VP9 in one of ffmpeg's containers, with or without sound."""

    def __init__(
        self,
        path: Path,
        suffix: str,
        rate: Fraction,
        tick: Fraction,
        size: tuple[int, int],
        coding: Coding,
        sound: Sound | None,
        mark: Mark | None,
    ) -> None:
        options = {"fflags": "+bitexact"}  # the same work, the same bytes: Matroska's own numbers are drawn by chance
        if suffix in {".mp4", ".m4v", ".mov"}:  # which without use_metadata_tags keep a few names only
            options = {"movflags": "+faststart" + ("+use_metadata_tags" if mark else "")}
        kind = {".m4v": "mp4", ".mkv": "matroska"}.get(suffix, suffix[1:])
        target = str(path.absolute())  # a colon in a relative name would make it a protocol's
        self._container = av.open(target, "w", format=kind, container_options=options)
        self._container.metadata.update({} if mark is None else mark.tags)
        codec, self._pixels, settings = coding
        try:
            stream: Any = self._container.add_stream(codec, rate=rate, options=settings)
        except (av.codec.codec.UnknownCodecError, ValueError) as error:
            raise FommError(f"This build of PyAV has no encoder {codec}.", "Reinstall it: pip install -U av") from error
        self._pad = (size[0] % 2, size[1] % 2) if codec == "libx264" else (0, 0)
        stream.height, stream.width = size[0] + self._pad[0], size[1] + self._pad[1]
        stream.pix_fmt = self._pixels
        context = stream.codec_context
        context.time_base = stream.time_base = tick
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1
        context.flags |= _FRAME_DURATION  # else every frame would be stored with the length of one step
        self._stream, self._tick, self._sound = stream, tick, sound
        self._boxed = kind in {"mp4", "mov"}
        self._held: Any = None
        self._first_dts: int | None = None
        self._begin: int | None = None
        self._end = 0
        self._zero: Fraction | None = Fraction(0) if sound else None
        self._last: int | None = None
        if sound:
            sound.attach(self._container)

    def write(self, frame: Frame, time: Fraction, lasts: Fraction) -> None:
        if self._zero is None:
            self._zero = time  # alone, the picture starts at 0; with sound it keeps its distance to it
        stamp = round((time - self._zero) / self._tick)
        if self._last is not None and stamp <= self._last:
            stamp = self._last + 1
        if any(self._pad):
            frame = np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        given = "rgb24" if frame.shape[2] == 3 else "rgba"
        picture: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=given)
        picture = picture.reformat(format=self._pixels, dst_colorspace=_BT709, interpolation=SWS)
        picture.colorspace, picture.color_range = _BT709, 1
        picture.pts, picture.time_base = stamp, self._tick
        picture.duration = max(1, round(lasts / self._tick))
        self._begin = stamp if self._begin is None else self._begin
        self._last, self._end = stamp, stamp + picture.duration
        self._mux(self._stream.encode(picture))
        if self._sound:
            self._sound.pump(stamp * self._tick)

    def finish(self) -> None:
        if self._sound:
            self._sound.pump(None)
            self._sound.close()
        self._mux(self._stream.encode())
        if self._held is not None:
            if self._boxed and self._first_dts is not None and self._begin is not None:
                # MP4 adds up lengths in the order of decoding: the last one makes up for what the others lack.
                length = self._end - self._begin - (self._held.dts - self._first_dts)
                self._held.duration = max(1, length)
            self._container.mux(self._held)
        self._container.close()

    def _mux(self, packets: list[Any]) -> None:
        """Write all but the last packet, whose length depends on whether another follows."""
        for packet in packets:
            if self._held is not None:
                self._container.mux(self._held)
            else:
                self._first_dts = packet.dts
            self._held = packet

    def abandon(self) -> None:
        if self._sound:
            self._sound.close()
        with contextlib.suppress(Exception):  # the file is about to be deleted: whatever it says no longer matters
            self._container.close()


class _Gif:
    """A GIF with a palette of its own for every frame, so that nothing has to be kept until the end."""

    def __init__(self, path: Path, rate: Fraction, size: tuple[int, int], mark: Mark | None) -> None:
        self._path, self._mark = path, mark
        self._tick = Fraction(1, 100)
        self._container = av.open(str(path.absolute()), "w", format="gif")
        stream: Any = self._container.add_stream("gif", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "pal8"
        stream.codec_context.flags |= _FRAME_DURATION
        stream.codec_context.time_base = stream.time_base = self._tick
        self._stream = stream
        self._zero: Fraction | None = None
        self._last = -1

    def write(self, frame: Frame, time: Fraction, lasts: Fraction) -> None:
        if self._zero is None:
            self._zero = time
        stamp = max(round((time - self._zero) / self._tick), self._last + 1)
        picture: Any = av.VideoFrame.from_ndarray(_indexed(frame), format="pal8")
        picture.pts, picture.time_base = stamp, self._tick
        picture.duration = max(1, round(lasts / self._tick))
        self._last = stamp
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()
        if self._mark is not None:
            self._mark.into_gif(self._path)

    def abandon(self) -> None:
        with contextlib.suppress(Exception):  # as above
            self._container.close()


def _indexed(frame: Frame) -> Any:
    """Colour numbers (H, W) and the palette (256, 4) in alpha, red, green, blue; dithered.

    The octree palette is about ten times as fast as ffmpeg's, for half a level more of mean error.
    """
    picture = Image.fromarray(np.ascontiguousarray(frame[..., :3]))
    clear = frame.shape[2] == 4
    chosen = picture.quantize(256 - clear, method=Image.Quantize.FASTOCTREE)
    numbers = picture.quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.asarray(numbers.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, dtype=np.uint8)
    palette[: len(colours), 1:] = colours
    shown = np.asarray(numbers, dtype=np.uint8)
    if clear:  # there is no half transparency in a GIF
        palette[-1] = 0
        shown = np.where(frame[..., 3] < 128, np.uint8(255), shown)
    return shown, palette


class _Pictures:
    """000000.png, 000001.png, ...: lossless, and without any time."""

    def __init__(self, folder: Path, mark: Mark | None) -> None:
        self._folder = folder
        self._chunks = None if mark is None else mark.png()
        self._count = 0

    def write(self, frame: Frame, time: Fraction, lasts: Fraction) -> None:
        path = self._folder / f"{self._count:06d}.png"
        Image.fromarray(np.ascontiguousarray(frame)).save(path, compress_level=3, pnginfo=self._chunks)
        self._count += 1

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass

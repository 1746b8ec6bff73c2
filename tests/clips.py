"""Tiny media written with PyAV itself, so that the tests of reading do not lean on our own writer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def shades(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames that can be told apart after any codec: grey steps, the left third red, the top a little brighter."""
    frames = []
    for index in range(count):
        frame = np.full((height, width, 3), 40 + 8 * index % 200, dtype=np.uint8)
        frame[: height // 4] += 20
        frame[:, : width // 3] = (200, 30, 40)
        frames.append(frame)
    return frames


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    rate: Fraction = Fraction(25),
    times: Sequence[Fraction] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    time_base: Fraction | None = None,
    sound: str | None = None,
    beeps: Sequence[Fraction] = (),
    options: dict[str, str] | None = None,
) -> Path:
    """A clip, with a mono track of silence and tenth-second beeps at the given times if `sound` names its codec."""
    tick = time_base or 1 / rate
    with av.open(str(path), "w", container_options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = frames[0].shape[0], frames[0].shape[1], pixels
        stream.codec_context.time_base = stream.time_base = tick
        track: Any = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            time = index / rate if times is None else times[index]
            picture.pts, picture.time_base = round(time / tick), tick
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if track is not None:
            length = len(frames) / rate if times is None else times[-1] + 1 / rate
            for packet in _sound(track, float(length), beeps):
                container.mux(packet)
    return path


def _sound(track: Any, seconds: float, beeps: Sequence[Fraction]) -> list[Any]:
    wave = np.zeros(int(48000 * seconds), dtype=np.float32)
    for beep in beeps:
        at = int(48000 * beep)
        tone = np.sin(np.arange(4800) / 48000 * 2 * np.pi * 880) * 0.8
        wave[at : at + 4800] = tone[: max(0, len(wave) - at)]
    packets = []
    for start in range(0, len(wave), 1152):
        block: Any = av.AudioFrame.from_ndarray(wave[None, start : start + 1152], format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
        packets += track.encode(block)
    return packets + track.encode()


def first_beep(path: Path) -> float:
    """Seconds, from the file's begin, at which its sound first rises."""
    with av.open(str(path)) as container:
        zero = (container.start_time or 0) / 1e6
        for block in container.decode(audio=0):
            levels = np.abs(block.to_ndarray().astype(np.float64)).max(axis=0)
            scale = 32768.0 if block.format.name.startswith("s16") else 1.0
            loud = np.flatnonzero(levels / scale > 0.1)
            if len(loud):
                return float(block.time) + loud[0] / block.sample_rate - zero
    raise AssertionError("the sound is silent")


def turn(path: Path, degrees: int) -> None:
    """Write a rotation (counterclockwise, as seen) into an mp4's track header."""
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[degrees]
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    words = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = b"".join(word.to_bytes(4, "big", signed=True) for word in words)
    path.write_bytes(data)

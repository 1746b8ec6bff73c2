"""Small real videos for tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Painter = Callable[[int], np.ndarray]


def numbered(height: int = 96, width: int = 128) -> Painter:
    """Pictures that tell their number: eight vertical bars, white for the ones of its binary digits."""

    def paint(number: int) -> np.ndarray:
        picture = np.zeros((height, width, 3), np.uint8)
        for bit in range(8):
            if number >> bit & 1:
                picture[:, bit * width // 8 : (bit + 1) * width // 8] = 255
        return picture

    return paint


def number_of(picture: np.ndarray) -> int:
    """The number that a picture of `numbered` tells, at any size."""
    width = picture.shape[1]
    return sum(int(picture[:, (2 * bit + 1) * width // 16].mean() > 127) << bit for bit in range(8))


def write_movie(
    path: Path,
    count: int = 60,
    paint: Painter | None = None,
    rate: Fraction = Fraction(25),
    keys: int = 12,
    times: Sequence[int] | None = None,
) -> Path:
    """Write an H.264 video of `count` pictures with a key frame every `keys`.

    times   of the pictures in steps of 1 / rate, for a video with gaps; None = 0, 1, 2, ...
    """
    paint = paint or numbered()
    first = paint(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": str(keys), "preset": "ultrafast", "crf": "18", "threads": "1"}
        stream.codec_context.time_base = 1 / rate
        for place in range(count):
            frame = av.VideoFrame.from_ndarray(paint(place), format="rgb24")
            frame.pts = place if times is None else times[place]
            frame.time_base = 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path

"""How a decoded frame is seen: upright, its pixels square, in true colours, transparency over white."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from fomm_cli.media.colour import HDR, from_hdr
from fomm_cli.media.image import Frame

SWS: Any = 4
"""How ffmpeg converts pixels: bicubic, its quick way. Accurate rounding took five times as long and, on real clips
through x264 and back, came out further from the original."""

_STRIP = 256  # rows

_MATRIX = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}  # frame.colorspace -> swscale's table; anything else is BT.601


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
    curve = HDR.get(int(frame.color_trc))
    deep = "rgb48le" if curve else "rgb24"
    converted = frame.reformat(
        width=size[1],
        height=size[0],
        format="rgba" if alpha else deep,
        src_colorspace=matrix,
        interpolation=SWS,
    )
    picture = converted.to_ndarray()
    if not alpha:
        return from_hdr(picture, curve) if curve else picture
    return _over_white(picture)


def _over_white(picture: np.ndarray) -> Frame:
    """RGBA (H, W, 4) over white; in strips, since the sums need twice the memory of what may be a huge canvas."""
    result = np.ascontiguousarray(picture[..., :3])
    if picture[..., 3].min() == 255:
        return result
    for top in range(0, len(picture), _STRIP):
        strip = picture[top : top + _STRIP].astype(np.uint16)
        over = strip[..., :3] * strip[..., 3:] + 255 * (255 - strip[..., 3:])
        result[top : top + _STRIP] = (over + 127) // 255
    return result

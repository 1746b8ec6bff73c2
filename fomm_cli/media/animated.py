"""Animated WebP and PNG: stills strung together as they come, in their exact times, with transparency.

Nothing is kept but the frame that waits for its length; of each, only what differs from the one before is stored.
Formats: RFC 9649 (WebP), the PNG Specification, Third Edition (acTL, fcTL, fdAT).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomm_cli.boxes import Box
from fomm_cli.errors import FommError
from fomm_cli.media.provenance import Mark

SUFFIXES = [".webp", ".apng"]
_QUALITY = 90
_FINEST = 65535  # ticks a second that a PNG can count
_PNG, _CHUNK = b"\x89PNG\r\n\x1a\n", ">I4s"


class Animated:
    """What both have in common: a file, and one frame that waits to know how long it lasts.

    size   (H, W) of all frames
    clear  whether they have transparency
    """

    even = False
    longest = 2**31 - 1

    def __init__(self, path: Path, size: tuple[int, int], clear: bool, mark: Mark | None) -> None:
        if max(size) > self.longest:
            raise FommError(f"Frames of {size[1]} x {size[0]} pixels are too large for {path.suffix}.", "Write mp4.")
        self._size, self._clear, self._mark = size, clear, mark
        self._file: BinaryIO = path.open("w+b")
        self._before: NDArray[np.uint8] | None = None
        self._held: tuple[Box, bytes, Fraction, Fraction] | None = None
        self._count = 0
        self._begin()

    def write(self, frame: NDArray[np.uint8], time: Fraction, lasts: Fraction) -> None:
        box = changed(self._before, frame, self.even)
        self._pass_on(time)
        part = frame[box.top : box.top + box.height, box.left : box.left + box.width]
        still = io.BytesIO()
        self._encode(Image.fromarray(np.ascontiguousarray(part)), still)
        self._before, self._held = frame, (box, still.getvalue(), time, lasts)

    def finish(self) -> None:
        self._pass_on(None)
        self._end()
        self._file.close()

    def abandon(self) -> None:
        self._file.close()

    def _pass_on(self, until: Fraction | None) -> None:
        """Write the frame that waits, now that it is known how long it lasts."""
        if self._held is not None:
            box, still, time, lasts = self._held
            self._add(box, still, lasts if until is None else until - time)
            self._count += 1

    def _begin(self) -> None:
        raise NotImplementedError

    def _encode(self, image: Image.Image, file: BinaryIO) -> None:
        raise NotImplementedError

    def _add(self, box: Box, still: bytes, lasts: Fraction) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError


class AnimatedWebp(Animated):
    """Lossy colours, lossless transparency; times in milliseconds."""

    even = True  # where a part begins is stored halved
    longest = 16383

    def _begin(self) -> None:
        height, width = self._size
        flags = 0x02 | (0x10 if self._clear else 0) | (0x04 if self._mark else 0)
        self._clock = 0  # milliseconds written, so that rounding does not add up
        self._due = Fraction(0)
        self._file.write(b"RIFF\0\0\0\0WEBP")
        self._chunk(b"VP8X", struct.pack("<I", flags) + _three(width - 1, height - 1))
        self._chunk(b"ANIM", struct.pack("<IH", 0, 0))

    def _encode(self, image: Image.Image, file: BinaryIO) -> None:
        image.save(file, "WEBP", quality=_QUALITY, method=2, exact=True)

    def _add(self, box: Box, still: bytes, lasts: Fraction) -> None:
        self._due += lasts
        length = max(1, round(self._due * 1000) - self._clock)
        self._clock += length
        where = _three(box.left // 2, box.top // 2, box.width - 1, box.height - 1, min(length, 2**24 - 1))
        self._chunk(b"ANMF", where + b"\x02" + b"".join(_picture_of(still)))  # 2: replace what was there

    def _end(self) -> None:
        if self._mark is not None:
            self._chunk(b"XMP ", self._mark.xmp.encode())
        size = self._file.tell() - 8
        self._file.seek(4)
        self._file.write(struct.pack("<I", size))

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._file.write(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))


def _three(*numbers: int) -> bytes:
    """Numbers of three bytes each."""
    return b"".join(number.to_bytes(3, "little") for number in numbers)


def _picture_of(still: bytes) -> Iterator[bytes]:
    """Of a WebP, the chunks that hold its pixels."""
    at = 12
    while at + 8 <= len(still):
        (length,) = struct.unpack_from("<I", still, at + 4)
        end = at + 8 + length + length % 2
        if still[at : at + 4] in {b"ALPH", b"VP8 ", b"VP8L"}:
            yield still[at:end]
        at = end


class AnimatedPng(Animated):
    """Lossless."""

    def _begin(self) -> None:
        height, width = self._size
        self._order = 0
        self._file.write(_PNG)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6 if self._clear else 2, 0, 0, 0))
        self._counted = self._file.tell()
        self._chunk(b"acTL", struct.pack(">II", 0, 0))
        if self._mark is not None:
            for name, data, *_ in self._mark.png().chunks:
                self._chunk(name, data)

    def _encode(self, image: Image.Image, file: BinaryIO) -> None:
        image.save(file, "PNG", compress_level=3)

    def _add(self, box: Box, still: bytes, lasts: Fraction) -> None:
        length = Fraction(lasts).limit_denominator(_FINEST)
        if length > _FINEST:
            length = Fraction(_FINEST)
        elif length.numerator > _FINEST:
            length = Fraction(round(length * 1000), 1000)
        control = (box.width, box.height, box.left, box.top, length.numerator, length.denominator, 0, 0)
        self._chunk(b"fcTL", struct.pack(">IIIIIHHBB", self._next(), *control))
        for name, data in _chunks_of(still):
            if name == b"IDAT":
                if self._count:
                    self._chunk(b"fdAT", struct.pack(">I", self._next()) + data)
                else:
                    self._chunk(b"IDAT", data)

    def _end(self) -> None:
        self._chunk(b"IEND", b"")
        self._file.seek(self._counted)
        self._chunk(b"acTL", struct.pack(">II", self._count, 0))

    def _next(self) -> int:
        self._order += 1
        return self._order - 1

    def _chunk(self, name: bytes, data: bytes) -> None:
        said = name + data
        self._file.write(struct.pack(">I", len(data)) + said + struct.pack(">I", zlib.crc32(said)))


def _chunks_of(still: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG."""
    at = len(_PNG)
    while at + 8 <= len(still):
        length, name = struct.unpack_from(_CHUNK, still, at)
        yield name, still[at + 8 : at + 8 + length]
        at += 12 + length


def changed(before: NDArray[np.uint8] | None, frame: NDArray[np.uint8], even: bool = False) -> Box:
    """The smallest box in which two frames differ, at least a pixel; all of it where there is none before.

    even  its left-top corner has even numbers
    """
    height, width = frame.shape[:2]
    if before is None:
        return Box(0, 0, width, height)
    apart = (before != frame).any(axis=2)
    rows, columns = np.flatnonzero(apart.any(axis=1)), np.flatnonzero(apart.any(axis=0))
    if not len(rows):
        return Box(0, 0, 1, 1)
    top, left = int(rows[0]), int(columns[0])
    if even:
        top, left = top - top % 2, left - left % 2
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)

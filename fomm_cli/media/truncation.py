"""Whether a file ends where it says: found from its own bookkeeping, before hours are spent on the begin of a clip.

Each format is a chain of pieces that tell their length; a piece that reaches beyond the end of the file was cut off.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Callable
from pathlib import Path

from fomm_cli.errors import FommError
from fomm_cli.media.container import repair


def check_whole(path: Path, container: str, samples_end: int = 0) -> None:
    """Raise where the file was cut off, or where its chain of pieces is broken in the middle.

    container    ffmpeg's name of the format
    samples_end  where an index in front says that the last picture ends, in bytes; 0 where there is none
    """
    told = _trouble(path, container, path.stat().st_size, path.stat().st_mtime_ns, samples_end)
    if told:
        raise FommError(f"{path} {told}.", repair(path))


@functools.lru_cache(maxsize=64)
def _trouble(path: Path, container: str, size: int, changed: int, samples_end: int) -> str:
    """The end of a sentence, empty where nothing is wrong; a file that changes is looked at again."""
    if samples_end > size:
        return f"is incomplete: {size:,} of its {samples_end:,} bytes are there"
    walk = next((walk for name, walk in _WALKS.items() if container.startswith(name)), None)
    if walk is None or not size:
        return ""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return walk(data, size)


def _cut(size: int, end: int) -> str:
    return f"is incomplete: {size:,} of its {end:,} bytes are there"


def _iso(data: mmap.mmap, size: int) -> str:
    """MP4, MOV and their kin: boxes of a length (4 bytes) and a name (4 bytes)."""
    offset = 0
    while offset + 8 <= size:
        length, name = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        if length == 1:
            length = int.from_bytes(data[offset + 8 : offset + 16], "big")
        if length == 0:  # up to the end of the file, wherever that is
            return ""
        if length < 8 or not name.strip(b"\0"):
            return ""  # padding, or an old QuickTime's tail: nothing that tells anything
        offset += length
    return _cut(size, offset) if offset > size and offset - size < 1 << 40 else ""


def _riff(data: mmap.mmap, size: int) -> str:
    """AVI: the first part says how long it is; parts of large files follow it. All are chains of chunks.

    A stretch that was overwritten breaks the chain, where ffmpeg looks silently for the next picture.
    """
    length = int.from_bytes(data[4:8], "little")
    end = 8 + length
    if data[:4] != b"RIFF" or (0 < length < 0xFFFFFFFF and end > size):
        return _cut(size, end) if data[:4] == b"RIFF" else ""
    offset, odd = 12, False
    while offset + 12 <= size:
        name = data[offset : offset + 4]
        if odd and not _is_name(name) and _is_name(data[offset - 1 : offset + 3]):
            offset -= 1  # some writers do not fill odd lengths up
            continue
        if not _is_name(name):
            rest = (data[start : start + (1 << 20)] for start in range(offset, size, 1 << 20))
            filled = any(part.strip(b"\0") for part in rest)  # what a recorder had set aside is no damage
            return f"is damaged at byte {offset:,}: no chunk of an AVI is there" if filled else ""
        length = int.from_bytes(data[offset + 4 : offset + 8], "little")
        if name == b"RIFF" or (name == b"LIST" and data[offset + 8 : offset + 12] in (b"movi", b"rec ")):
            length, odd = 4, False
        else:
            odd = bool(length % 2)
        offset += 8 + length + odd
    return ""


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)


_ASF_HEADER, _ASF_DATA, _ASF_FILE = (
    bytes.fromhex(text)
    for text in (
        "3026b2758e66cf11a6d900aa0062ce6c",
        "3626b2758e66cf11a6d900aa0062ce6c",
        "a1dcab8c47a9cf118ee400c00c205365",
    )
)


def _asf(data: mmap.mmap, size: int) -> str:
    """WMV: a header, then the data, each of a name (16 bytes) and a length; the data are packets of one size."""
    start = int.from_bytes(data[16:24], "little")
    if data[:16] != _ASF_HEADER or data[start : start + 16] != _ASF_DATA:
        return ""
    end = start + int.from_bytes(data[start + 16 : start + 24], "little")
    if end > size:
        return _cut(size, end) if end - size < 1 << 40 else ""
    about = data.find(_ASF_FILE, 0, start)
    packet = int.from_bytes(data[about + 92 : about + 96], "little") if about > 0 else 0
    first = start + 50
    if packet and first < end and data[first] == 0x82:  # error correction of two bytes: as good as every file has it
        for offset in range(first, end, packet):
            if not data[offset]:
                return f"is damaged at byte {offset:,}: no packet of ASF is there"
    return ""


def _matroska(data: mmap.mmap, size: int) -> str:
    """Matroska and WebM: elements of a number, a length and content; a segment holds clusters, a cluster blocks.

    A stretch that was overwritten breaks the chain of elements, where ffmpeg goes on silently at the next cluster.
    """
    offset, segment_end = 0, size
    open_ended = False
    while offset < min(size, segment_end):
        element = _element(data, offset, size)
        if element is None:
            return f"is damaged at byte {offset:,}: no element of Matroska is there"
        number, start, length = element
        if length is None:  # live: it ends where the next of its kind begins
            open_ended = True
            if number not in (_SEGMENT, _CLUSTER):
                return ""
            offset = start
            continue
        end = start + length
        if number not in _TOP and not (open_ended and number in _IN_CLUSTER):
            return f"is damaged at byte {offset:,}: no element of Matroska is there"
        if number == _SEGMENT:
            segment_end = end
            if end > size:
                return _cut(size, end)
            offset = start
        elif end > segment_end:
            return _cut(size, end) if end > size else f"is damaged at byte {offset:,}: an element is too long"
        elif number == _CLUSTER:
            if (broken := _cluster(data, start, end)) is not None:
                return f"is damaged at byte {broken:,}: a cluster's blocks are broken"
            offset = end
        else:
            offset = end
    return ""


def _cluster(data: mmap.mmap, offset: int, end: int) -> int | None:
    """Where the chain of a cluster's elements breaks, None where it holds."""
    while offset < end:
        element = _element(data, offset, end)
        if element is None:
            return offset
        number, start, length = element
        if number not in _IN_CLUSTER or length is None or start + length > end:
            return offset
        offset = start + length
    return None


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_TOP = {
    0x1A45DFA3, _SEGMENT, _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1254C367, 0x1941A469, 0x1043A770,
    0xEC, 0xBF,
}  # header, segment, cluster, seek head, info, tracks, cues, tags, attachments, chapters, void, checksum  # fmt: skip
_IN_CLUSTER = {0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC, 0xBF}
# time, simple block, block group, position, previous size, silent tracks, encrypted block, void, checksum


def _element(data: mmap.mmap, offset: int, end: int) -> tuple[int, int, int | None] | None:
    """(number, where its content begins, its length or None where unknown); None where there is no element."""
    first = data[offset]
    width = 9 - first.bit_length()
    if not first or width > 4 or offset + width >= end:
        return None
    number = int.from_bytes(data[offset : offset + width], "big")
    offset += width
    first = data[offset]
    width = 9 - first.bit_length()
    if not first or offset + width > end:
        return None
    length = int.from_bytes(data[offset : offset + width], "big") & ((1 << 7 * width) - 1)
    unknown = length == (1 << 7 * width) - 1
    return number, offset + width, None if unknown else length


def _gif(data: mmap.mmap, size: int) -> str:
    """GIF: extensions and images of sub-blocks, each with its length in one byte, up to a semicolon."""

    def palette(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    if size < 13:
        return "is incomplete: it ends in its first bytes"
    offset = 13 + palette(data[10])
    images = 0
    while offset < size:
        kind = data[offset]
        if kind == 0x3B:
            return ""
        if kind == 0x21:
            offset += 2
        elif kind == 0x2C and offset + 10 <= size:
            offset += 11 + palette(data[offset + 9])
            images += 1
        elif kind == 0:
            offset += 1
            continue
        else:
            return f"is damaged at byte {offset:,}: no part of a GIF is there"
        while offset < size and data[offset]:
            offset += 1 + data[offset]
        offset += 1
        if offset > size:
            return f"is incomplete: it ends within picture {max(images, 1)}"
    return ""  # only the semicolon is missing, as some encoders leave it


def _flv(data: mmap.mmap, size: int) -> str:
    """Flash video: tags of 11 bytes and their content, each followed by its length (4 bytes)."""
    offset = int.from_bytes(data[5:9], "big") + 4
    while offset < size:
        if offset + 11 > size:
            return _cut(size, offset + 11)
        offset += 11 + int.from_bytes(data[offset + 1 : offset + 4], "big")
        if offset > size:
            return _cut(size, offset)
        offset += 4
    return ""


def _ogg(data: mmap.mmap, size: int) -> str:
    """Ogg: pages of a header, a table of lengths and content."""
    offset = 0
    while offset < size:
        if data[offset : offset + 4] != b"OggS":
            following = data.find(b"OggS", offset)
            return "" if following < 0 else f"is damaged at byte {offset:,}: no page of Ogg is there"
        table = offset + 27
        if table > size or table + data[offset + 26] > size:
            return f"is incomplete: its last page begins at byte {offset:,} and does not end"
        content = table + data[offset + 26]
        offset = content + sum(data[table:content])
    return _cut(size, offset) if offset > size else ""


_WALKS: dict[str, Callable[[mmap.mmap, int], str]] = {
    "mov,mp4": _iso,
    "avi": _riff,
    "asf": _asf,
    "matroska": _matroska,
    "gif": _gif,
    "flv": _flv,
    "ogg": _ogg,
}

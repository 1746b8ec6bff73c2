"""What a training was fed with, in names, lengths and sizes: enough to see that another set is not the same one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from fomm_cli.data.clips import ClipRef
from fomm_cli.data.split import Split
from fomm_cli.errors import FommError, counted

OPENED = 256
"""Clips of a part whose length and size are looked at, evenly spread over the names."""

Shape = tuple[int, int, int]


class Part(NamedTuple):
    """
    names   of all clips, without suffixes: a set may be packed in between
    shapes  of the clips that were opened, (frames, H, W); None for one that cannot be read
    """

    names: list[str]
    shapes: dict[str, Shape | None]


class Fingerprint(NamedTuple):
    """Of the clips that train and those that validate."""

    train: Part
    test: Part

    def to_json(self) -> dict[str, Any]:
        return {name: part._asdict() for name, part in self._asdict().items()}

    @classmethod
    def from_json(cls, stored: Any) -> Fingerprint:
        """Raises ValueError for anything that `to_json` does not write."""
        try:
            return cls(*(_part_from_json(stored[name]) for name in cls._fields))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no fingerprint of a data set") from error


def _part_from_json(stored: dict[str, Any]) -> Part:
    shapes: dict[str, Shape | None] = {}
    for name, shape in stored["shapes"].items():
        frames, height, width = (0, 0, 0) if shape is None else map(int, shape)
        shapes[name] = None if shape is None else (frames, height, width)
    return Part([str(name) for name in stored["names"]], shapes)


def fingerprint(split: Split, threads: int = 4) -> Fingerprint:
    """Open some clips of both parts; which ones depends on the names alone."""
    return Fingerprint(_part(split.train, threads), _part(split.test, threads))


def _part(clips: list[ClipRef], threads: int) -> Part:
    chosen = clips
    if len(clips) > OPENED:
        chosen = [clips[index * (len(clips) - 1) // (OPENED - 1)] for index in range(OPENED)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        shapes = list(pool.map(_shape, chosen))
    return Part([ref.name for ref in clips], {ref.name: shape for ref, shape in zip(chosen, shapes, strict=True)})


def _shape(ref: ClipRef) -> Shape | None:
    try:
        clip = ref.open()
        try:
            return len(clip), *clip.size
        finally:
            clip.close()
    except FommError:
        return None


def differences(then: Fingerprint, now: Fingerprint) -> list[str]:
    """What differs, a sentence a kind, clips named; empty where both are the same set."""
    found = []
    for title, before, after in (("to train on", then.train, now.train), ("to test on", then.test, now.test)):
        gone, fresh = _without(before.names, after.names), _without(after.names, before.names)
        if gone:
            found.append(f"{counted(len(gone), 'clip')} {title} {_are(gone)} gone ({_some(gone)})")
        if fresh:
            found.append(f"{counted(len(fresh), 'clip')} {title} {_are(fresh)} new ({_some(fresh)})")
        changed = [
            f"{name} was {_words(shape)}, is {_words(after.shapes[name])}"
            for name, shape in before.shapes.items()
            if name in after.shapes and after.shapes[name] != shape
        ]
        if changed:
            found.append(f"{counted(len(changed), 'clip')} {title} {_are(changed)} of another shape ({_some(changed)})")
    return found


def _without(names: list[str], others: list[str]) -> list[str]:
    return sorted((Counter(names) - Counter(others)).elements())


def _some(words: Iterable[str]) -> str:
    words = list(words)
    return ", ".join(words[:3]) + (", ..." if len(words) > 3 else "")


def _are(words: list[str]) -> str:
    return "is" if len(words) == 1 else "are"


def _words(shape: Shape | None) -> str:
    if shape is None:
        return "unreadable"
    frames, height, width = shape
    return f"{counted(frames, 'frame')} of {width}x{height}"

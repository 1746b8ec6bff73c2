"""Which clip is animated by which: from a published list, or drawn with a seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fomm_cli.data.clips import ClipRef
from fomm_cli.errors import FommError, nearest


class Pair(NamedTuple):
    """The first frame of `source`, driven by `driving`.

    frame  of the driving clip that stands for the source's pose in relative mode
    """

    source: ClipRef
    driving: ClipRef
    frame: int = 0

    @property
    def name(self) -> str:
        start = f" from frame {self.frame}" if self.frame else ""
        return f"{self.source.name} by {self.driving.name}{start}"


def read(path: Path, clips: Sequence[ClipRef]) -> list[Pair]:
    """The pairs of a CSV file with the columns `source`, `driving` and perhaps `frame`; other columns are left alone.

    Clips are named as in the set, with or without their suffix.
    """
    known = {ref.path.name: ref for ref in clips} | {ref.name: ref for ref in clips}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FommError(f"{path} cannot be read as a list of pairs: {error}.", "It is a CSV file.") from error
    if not rows:
        raise FommError(f"{path} lists no pairs.", "Its first line names the columns: source,driving or more.")
    missing = [column for column in ("source", "driving") if column not in rows[0]]
    if missing:
        raise FommError(f"{path} has no column {missing[0]!r}.", "Its first line is: source,driving,frame.")
    return [_pair(path, line, row, known) for line, row in enumerate(rows, start=2)]


def _pair(path: Path, line: int, row: dict[str, str], known: dict[str, ClipRef]) -> Pair:
    found = []
    for column in ("source", "driving"):
        name = (row[column] or "").strip()
        if name not in known:
            hint = nearest(name, list(known)[:1000]) if len(known) > 8 else f"The clips are: {', '.join(known)}."
            raise FommError(f"{path}, line {line}: there is no clip {name!r} in the set.", hint)
        found.append(known[name])
    text = (row.get("frame") or "0").strip()
    if not text.isdecimal():
        raise FommError(f"{path}, line {line}: {text!r} is no frame number.", "Frames count from 0.")
    return Pair(found[0], found[1], int(text))


def draw(clips: Sequence[ClipRef], count: int, seed: int) -> list[Pair]:
    """`count` different pairs of clips of different people, always the same for a seed; fewer if there are no more."""
    ordered = sorted(clips, key=lambda ref: ref.name)
    possible = [(a, b) for a in ordered for b in ordered if a.identity != b.identity]
    if not possible:
        raise FommError(
            "There are no two people in the set to pair.", "Clips of one person share a name up to the '#'."
        )
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    places = generator.choice(len(possible), size=min(count, len(possible)), replace=False)
    return [Pair(*possible[place]) for place in sorted(places)]

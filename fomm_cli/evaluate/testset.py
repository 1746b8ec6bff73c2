"""The clips an evaluation is made on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fomm_cli.data.clips import ClipRef, find_clip
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.sequence import natural_key

PARTS = ("test", "all")


class ClipSet(NamedTuple):
    """
    clips   to be measured
    others  of the same set: a list of pairs may name them, too
    layout  one line: how the clips were found
    """

    clips: list[ClipRef]
    others: list[ClipRef]
    layout: str


def find(data: Path, seed: int = 0, part: str = "test") -> ClipSet:
    """The test clips of a set, or all its clips.

    A set is what `find_split` takes; one with a `test/` and no `train/` will do here as well.
    """
    if part not in PARTS:
        raise FommError(f"There is no part {part!r} of a set.", nearest(part, list(PARTS)))
    test = data / "test"
    if test.is_dir() and not (data / "train").is_dir():
        paths = sorted(test.iterdir(), key=lambda path: natural_key(path.name))
        refs = [ref for path in paths if path.name[0] != "." and (ref := find_clip(path)) is not None]
        found = ClipSet(refs, [], "test/ alone")
    else:
        split = find_split(data, seed)
        if part == "all":
            found = ClipSet([*split.train, *split.test], [], "all clips")
        else:
            found = ClipSet(split.test, split.train, split.layout)
    if not found.clips:
        raise FommError(f"{data} has no test clips.", "Add clips to its test/ folder, or measure all with --part all.")
    return found

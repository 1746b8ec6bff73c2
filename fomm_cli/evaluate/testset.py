"""What an evaluation is made on: the test clips of a set, pairs of them, and their frames in bounded memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomm_cli.data.clips import Clip, ClipRef, find_clip
from fomm_cli.data.pairs import generator
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import fit
from fomm_cli.media.sequence import natural_key
from fomm_cli.model.pixels import to_tensor

PARTS = ("test", "all")
BLOCK_BYTES = 256 * 2**20
"""Of decoded frames read in one go: some layouts decode a whole clip to reach one frame, so few large reads."""


class ClipSet(NamedTuple):
    """The clips of an evaluation.

    clips   to be measured
    others  of the same set: a list of pairs may name them, too
    layout  one line: how the clips were found
    """

    clips: list[ClipRef]
    others: list[ClipRef]
    layout: str


def find(data: Path, seed: int = 0, part: str = "test", listed: Path | None = None) -> ClipSet:
    """The test clips of a set, or all its clips.

    A set is what `find_split` takes; one with a `test/` and no `train/` will do here as well.

    listed  a file that names the test clips, see `find_split`
    """
    if part not in PARTS:
        raise FommError(f"There is no part {part!r} of a set.", nearest(part, list(PARTS)))
    if listed is not None and part != "test":
        raise FommError("A list of test clips and all clips exclude each other.", "Leave out --split or --part.")
    test = data / "test"
    if listed is None and test.is_dir() and not (data / "train").is_dir():
        paths = sorted(test.iterdir(), key=lambda path: natural_key(path.name))
        refs = [ref for path in paths if path.name[0] != "." and (ref := find_clip(path)) is not None]
        found = ClipSet(refs, [], "test/ alone")
    else:
        split = find_split(data, seed, listed)
        if part == "all":
            found = ClipSet([*split.train, *split.test], [], "all clips")
        else:
            found = ClipSet(split.test, split.train, split.layout)
    if not found.clips:
        raise FommError(f"{data} has no test clips.", "Add clips to its test/ folder, or measure all with --part all.")
    return found


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


def read_pairs(path: Path, clips: Sequence[ClipRef]) -> list[Pair]:
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


def draw_pairs(clips: Sequence[ClipRef], count: int, seed: int) -> list[Pair]:
    """`count` different pairs of clips of different people, always the same for a seed; fewer if there are no more."""
    ordered = sorted(clips, key=lambda ref: ref.name)
    possible = [(a, b) for a in ordered for b in ordered if a.identity != b.identity]
    if not possible:
        raise FommError(
            "There are no two people in the set to pair.", "Clips of one person share a name up to the '#'."
        )
    numbers = generator(seed).choice(len(possible), size=min(count, len(possible)), replace=False)
    return [Pair(*possible[number]) for number in sorted(numbers)]


def opened(ref: ClipRef) -> Clip:
    """The clip, with at least the two frames that a reconstruction needs."""
    clip = ref.open()
    if len(clip) < 2:
        clip.close()
        raise FommError(f"{ref.path} has a single frame: there is no motion to measure.")
    return clip


def blocks(clip: Clip, size: tuple[int, int] | None, start: int = 0) -> Iterator[np.ndarray]:
    """uint8 (n, H, W, 3), all frames from `start` on, each cropped around its centre and resized to `size` if given."""
    height, width = clip.size
    step = max(1, BLOCK_BYTES // (height * width * 3))
    for begin in range(start, len(clip), step):
        frames = clip.frames(range(begin, min(begin + step, len(clip))))
        wanted = size or frames[0].shape[:2]
        if size is None and any(frame.shape[:2] != (height, width) for frame in frames):
            raise FommError(f"{clip.path} has frames of different sizes.", "Give --size, or repack the clip.")
        yield np.stack([fit(frame, (wanted[0], wanted[1])) for frame in frames])


def batches(
    clip: Clip, size: tuple[int, int] | None, batch: int, device: torch.device, start: int = 0
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """(uint8 (n, H, W, 3), the same as float (n, 3, H, W) in [0, 1] on the device), n at most `batch`."""
    for block in blocks(clip, size, start):
        for begin in range(0, len(block), batch):
            frames = np.ascontiguousarray(block[begin : begin + batch])
            yield frames, to_tensor(frames, device)

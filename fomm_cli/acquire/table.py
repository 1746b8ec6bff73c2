"""Metadata tables: which stretch of which video, and which box of its picture, is a clip.

One row is one clip, in the columns of the published VoxCeleb and Tai-Chi-HD lists:
`video_id,start,end,bbox,fps,width,height,partition[,person_id]`.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from fomm_cli.boxes import Box, square
from fomm_cli.errors import FommError
from fomm_cli.files.disk import check_payload, write_text
from fomm_cli.media.sequence import parse_rate
from fomm_cli.shards import Shard


def select(
    cuts: Sequence[Cut], partition: str | None = None, subset: int | None = None, shard: Shard | None = None
) -> list[Cut]:
    """The clips of one partition, then the first `subset` of them, then every N-th video of what is left.

    Videos are dealt out whole, in their order, so that no two shares download the same one.
    """
    if partition is not None:
        if partition not in PARTITIONS:
            raise FommError(f"--partition {partition!r} is neither train nor test.")
        cuts = [cut for cut in cuts if cut.partition == partition]
    if subset is not None:
        cuts = cuts[:subset]
    if shard is not None and shard.count > 1:
        order = {video: index for index, video in enumerate(dict.fromkeys(cut.video for cut in cuts))}
        cuts = [cut for cut in cuts if order[cut.video] % shard.count == shard.index - 1]
    return list(cuts)


COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height", "partition")

PARTITIONS = ("train", "test")

SAME_RATE = Fraction(1, 100)  # published rates were read off ffmpeg's log, which prints two decimals

_BOX = re.compile(r"(-?\d+)-(-?\d+)-(-?\d+)-(-?\d+)")

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}")

_MAX_FRAME = 10_000_000

_MAX_SIDE = 20_000


@dataclass(frozen=True)
class Cut:
    """One clip to be cut.

    video          the id of its video: a plain name, never a path
    start, end     frame numbers at `fps`; `end` is not part of it
    box            (left, top, right, bottom) in pixels of a picture of `width` x `height`
    partition      train or test
    person         who is shown, None where the table does not say
    """

    video: str
    start: int
    end: int
    box: tuple[int, int, int, int]
    fps: Fraction
    width: int
    height: int
    partition: str
    person: str | None = None

    @property
    def name(self) -> str:
        """`[person#]video#SSSSSS#EEEEEE`: the name of the clip's file, without suffix."""
        head = f"{self.person}#" if self.person else ""
        return f"{head}{self.video}#{self.start:06d}#{self.end:06d}"

    def frames(self, rate: Fraction) -> range:
        """The numbers of the frames of a video of `rate` frames a second that belong to the clip.

        Frame i belongs when start * rate <= i * fps < end * rate. Rates that agree to two decimals count as one, so
        that a table that says 29.97 means the frames it names in a video of 30000/1001.
        """
        if abs(rate - self.fps) < SAME_RATE:
            rate = self.fps
        return range(math.ceil(self.start * rate / self.fps), math.ceil(self.end * rate / self.fps))


@dataclass(frozen=True)
class Table:
    """The distinct clips of a metadata file, in its order.

    rows       how many rows it has
    repeated   how many of them name a clip that an earlier row names
    moved      how many clips stand in both partitions; they count as test
    """

    cuts: list[Cut]
    rows: int
    repeated: int = 0
    moved: int = 0

    @property
    def videos(self) -> dict[str, list[Cut]]:
        """The clips of each video, the videos in order of their first row."""
        found: dict[str, list[Cut]] = {}
        for cut in self.cuts:
            found.setdefault(cut.video, []).append(cut)
        return found


def safe_id(text: str) -> bool:
    """Whether an id can name a file: letters, digits, `_`, `-` and dots, no dot in front; a leading `-` is fine."""
    return _ID.fullmatch(text) is not None


def read_table(path: str | Path) -> Table:
    """Read a metadata CSV. Raises FommError, naming the line, for anything that is not as it should be."""
    path = Path(path)
    check_payload(path, "the metadata table")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise FommError(
                    f"{path} has no column {missing[0]!r}.", f"Its first line must be {','.join(COLUMNS)}[,person_id]."
                )
            return collect(_cut(row, f"{path}, line {reader.line_num}") for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FommError(f"{path} is no CSV table: {error}.") from error


def collect(cuts: Iterable[Cut]) -> Table:
    """The distinct clips: equal names are one clip, one that stands in both partitions is for test."""
    found: dict[str, Cut] = {}
    moved: set[str] = set()
    rows = 0
    for cut in cuts:
        rows += 1
        known = found.setdefault(cut.name, cut)
        if known.partition != cut.partition:
            moved.add(cut.name)
            found[cut.name] = replace(known, partition="test")
    return Table(list(found.values()), rows, rows - len(found), len(moved))


def write_table(path: str | Path, cuts: Iterable[Cut], force: bool = False) -> None:
    """Write the table that `read_table` reads, atomically."""
    lines = [",".join((*COLUMNS, "person_id"))]
    for cut in cuts:
        box = "-".join(str(edge) for edge in cut.box)
        rate = f"{float(cut.fps):.7g}"  # rates that agree to two decimals count as one
        fields = (cut.video, cut.start, cut.end, box, rate, cut.width, cut.height, cut.partition, cut.person or "")
        lines.append(",".join(str(field) for field in fields))
    write_text(path, "\n".join(lines) + "\n", force)


def _cut(row: dict[str, str | None], where: str) -> Cut:
    """One row, checked: what comes out may name files and slice pictures."""
    if None in row or any(row[column] is None for column in COLUMNS):
        raise FommError(f"{where}: the number of fields is not that of the first line.")
    text = {column: (value or "").strip() for column, value in row.items()}
    if not safe_id(text["video_id"]):
        raise FommError(
            f"{where}: {text['video_id']!r} is no video id.", "Ids are letters, digits, `_`, `-` and dots: no paths."
        )
    person = text.get("person_id") or None
    if person is not None and not safe_id(person):
        raise FommError(
            f"{where}: {person!r} is no person id.", "Ids are letters, digits, `_`, `-` and dots: no paths."
        )
    if text["partition"] not in PARTITIONS:
        raise FommError(f"{where}: the partition is {text['partition']!r}.", "It is train or test.")
    start, end = _whole(text["start"], "start", where), _whole(text["end"], "end", where)
    width, height = _whole(text["width"], "width", where), _whole(text["height"], "height", where)
    if not 0 <= start < end <= _MAX_FRAME:
        raise FommError(f"{where}: frames {start} to {end} are no range.", "It needs 0 <= start < end.")
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise FommError(f"{where}: {width} x {height} is no size of a picture.")
    match = _BOX.fullmatch(text["bbox"])
    box = tuple(int(edge) for edge in match.groups()) if match else None
    if box is None or box[0] >= box[2] or box[1] >= box[3] or max(map(abs, box)) > _MAX_SIDE:
        raise FommError(f"{where}: {text['bbox']!r} is no box.", "It is left-top-right-bottom in pixels.")
    if box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height:
        raise FommError(f"{where}: the box {text['bbox']} lies outside the picture of {width} x {height}.")
    return Cut(
        text["video_id"], start, end, (box[0], box[1], box[2], box[3]), _rate(text["fps"], where), width, height,
        text["partition"], person,
    )  # fmt: skip


def _whole(text: str, column: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FommError(f"{where}: {column} is {text!r}, not a whole number.") from None


def _rate(text: str, where: str) -> Fraction:
    """Frames a second: `25`, `29.97`, or exactly, `30000/1001`."""
    rate = parse_rate(text)
    if rate is None or not 0 < rate <= 1000:
        raise FommError(f"{where}: fps is {text!r}.", "It is the number of frames a second, such as 25 or 30000/1001.")
    return rate


def plain_id(stem: str) -> str:
    """The id that a file name stands for: what ids may not hold becomes `_`."""
    if safe_id(stem):
        return stem
    text = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-.") else "_" for letter in stem)
    return text.lstrip(".")[:120] or "_"


Fit = Literal["stretch", "square"]


def crop_of(cut: Cut, width: int, height: int, fit: Fit) -> Box:
    """The box of a clip in a video of `width` x `height`, whatever size the table was made at.

    stretch   the box as it is, clipped to the picture, to be resized without keeping its proportions (as published)
    square    the square around it, shifted into the picture; it reaches beyond only where the picture is too small
    """
    left, top, right, bottom = cut.box
    if fit == "square":
        scaled = (left * width / cut.width, top * height / cut.height,
                  right * width / cut.width, bottom * height / cut.height)  # fmt: skip
        return square(scaled, width, height)
    near_x, near_y = max(left, 0) * width // cut.width, max(top, 0) * height // cut.height
    far_x, far_y = min(right, cut.width) * width // cut.width, min(bottom, cut.height) * height // cut.height
    near_x, near_y = min(near_x, width - 1), min(near_y, height - 1)
    return Box(near_x, near_y, max(far_x - near_x, 1), max(far_y - near_y, 1))

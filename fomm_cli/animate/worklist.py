"""Which sources meet which drivings, and what the results are called."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fomm_cli.errors import FommError, counted
from fomm_cli.media.sequence import SUFFIXES, natural_key
from fomm_cli.media.write import MOVIES
from fomm_cli.motion.file import SUFFIX as MOTION

CLIPS = {*MOVIES, ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".gif", MOTION}
OWN = ("anchor", "crop_source", "crop_driving", "mode", "weights")
"""Columns of a list of pairs that say what else is different in their row."""

LIMIT = 1_000_000
FIELDS = "{source}, {driving} and {index}"


class Item(NamedTuple):
    """One result of a batch.

    number   its place in the batch, from 0
    output   under the batch's folder
    own      settings of this item alone, by their names
    """

    number: int
    source: Path
    driving: Path
    output: str
    own: dict[str, str]


def product(sources: Sequence[Path], drivings: Sequence[Path], pattern: str) -> list[Item]:
    """Every source with every driving."""
    pairs = [(source, driving) for source in sources for driving in drivings]
    return _named([(source, driving, None, {}) for source, driving in pairs], pattern)


def zipped(sources: Sequence[Path], drivings: Sequence[Path], pattern: str) -> list[Item]:
    """The first source with the first driving, and so on; there must be as many."""
    if len(sources) != len(drivings):
        raise FommError(
            f"There are {counted(len(sources), 'source')} and {counted(len(drivings), 'driving')}.",
            "--zip needs as many of both; leave it out for every source with every driving.",
        )
    return _named([(source, driving, None, {}) for source, driving in zip(sources, drivings, strict=True)], pattern)


def read_pairs(path: Path, root: Path | None, pattern: str) -> tuple[list[Item], list[str]]:
    """The rows of a CSV file, and what is to be said of its columns.

    Columns `source` and `driving` are needed, `output` and those of OWN may be there; others are passed over. Names are
    relative to `root`, None = the file's folder. Lists of the original repository are read as they are.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restkey="", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FommError(f"{path} cannot be read as a list of pairs: {error}.", "It is a CSV file in UTF-8.") from error
    columns = set(rows[0]) if rows else set()
    if not {"source", "driving"} <= columns:
        raise FommError(f"{path} has no columns source and driving.", "Its first line names the columns.")
    base = root or path.parent
    known = {"source", "driving", "output", "", *OWN}
    passed = sorted(columns - known)
    found = []
    for number, row in enumerate(rows, 2):
        if not row["source"] or not row["driving"]:
            raise FommError(f"{path}, line {number}: source or driving is empty.", "Every row names both.")
        own = {name: row[name] for name in OWN if row.get(name)}
        found.append((base / row["source"], base / row["driving"], row.get("output") or None, own))
    return _named(found, pattern), [f"{path} has columns that are not used: {', '.join(passed)}."] if passed else []


def gather(words: Iterable[str], drivings: bool) -> list[Path]:
    """Files, folders and globs as the pictures or clips they mean, in natural order, each once.

    A folder means its pictures; among drivings it means its clips and motion files, and where it has none but pictures
    it is a clip itself.
    """
    found: list[Path] = []
    for word in words:
        path = Path(word)
        matches = [path] if path.exists() else [Path(match) for match in glob.glob(word, recursive=True)]  # noqa: PTH207
        if not matches:
            raise FommError(f"{word} is no file or folder, and no file is matched by it.", "Check the path.")
        for match in sorted(matches, key=lambda each: natural_key(str(each))):
            found += _inside(match, drivings) if match.is_dir() else [match]
    return list(dict.fromkeys(found))


def _inside(folder: Path, drivings: bool) -> list[Path]:
    wanted = CLIPS if drivings else SUFFIXES
    inside = [each for each in folder.iterdir() if not each.name.startswith(".") and each.suffix.lower() in wanted]
    if drivings and not inside:
        return [folder]
    if not inside:
        raise FommError(f"{folder} has no pictures in it.", f"Pictures end in {', '.join(sorted(SUFFIXES))}.")
    return sorted(inside, key=lambda each: natural_key(each.name))


def _named(pairs: Sequence[tuple[Path, Path, str | None, dict[str, str]]], pattern: str) -> list[Item]:
    if not pairs:
        raise FommError("There is nothing to animate.", "Name sources and drivings.")
    if len(pairs) > LIMIT:
        raise FommError(f"{len(pairs):,} results are more than one batch makes.", f"Up to {LIMIT:,}.")
    items: list[Item] = []
    taken: dict[str, int] = {}
    for index, (source, driving, output, own) in enumerate(pairs):
        name = output or _name(pattern, source, driving, index)
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise FommError(f"{name} would lie outside the folder of the batch.", "Results are named below it.")
        if str(path) in taken:
            raise FommError(
                f"Results {taken[str(path)]} and {index} would both be {name}.",
                "Tell them apart: --name with {index}.",
            )
        taken[str(path)] = index
        items.append(Item(index, source, driving, str(path), own))
    return items


def _name(pattern: str, source: Path, driving: Path, index: int) -> str:
    stems = [path.name.removesuffix(f".motion{MOTION}") for path in (source, driving)]
    stems = [Path(stem).stem if Path(stem).suffix else stem for stem in stems]
    try:
        return pattern.format(source=stems[0], driving=stems[1], index=index)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise FommError(f"{pattern!r} is no pattern of names.", f"It may hold {FIELDS}.") from error

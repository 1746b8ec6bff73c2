"""What is kept of a clip: sums and counts, as plain JSON, from which every number of the report follows."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.files import disk


@dataclass
class Tally:
    """One method on one clip.

    sums     quantity -> sum over frames
    counts   quantity -> how many frames are in the sum
    missing  detector's quantity -> frames in which it found nothing: of the truth, and of the result where the truth
             had something
    broken   quantity -> frames whose value is not a number; a mean over the others would flatter, so there is none
    """

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)

    def add(self, quantity: str, values: Iterable[float]) -> None:
        for value in values:
            if not math.isfinite(value):
                self.broken[quantity] = self.broken.get(quantity, 0) + 1
                continue
            self.sums[quantity] = self.sums.get(quantity, 0.0) + value
            self.counts[quantity] = self.counts.get(quantity, 0) + 1

    def miss(self, what: str, frames: int = 1) -> None:
        self.missing[what] = self.missing.get(what, 0) + frames

    def mean(self, quantity: str) -> float | None:
        count = self.counts.get(quantity, 0)
        return self.sums[quantity] / count if count and quantity not in self.broken else None


@dataclass
class Record:
    """One clip.

    digest    of its bytes
    frames    that were measured
    tallies   column of the table -> what came out
    resized   whether its frames were cropped or resized to the size of the evaluation
    skipped   why it was not measured; None if it was
    features  column -> (frames, D), where FID is asked for; kept in a file of their own
    """

    name: str
    digest: str = ""
    frames: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    resized: bool = False
    skipped: str | None = None
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        plain = {**vars(self), "tallies": {name: vars(tally) for name, tally in self.tallies.items()}}
        del plain["features"]
        return plain

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Record:
        tallies = {name: Tally(**tally) for name, tally in stored["tallies"].items()}
        return cls(**{**stored, "tallies": tallies})


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return disk.sha256(path)
    total = hashlib.sha256()
    for inner in sorted(path.iterdir()):
        if inner.is_file() and not inner.name.startswith("."):
            total.update(f"{inner.name}\0{disk.sha256(inner)}\n".encode())
    return total.hexdigest()


def digest_of(records: Iterable[Record]) -> str:
    """One hash for a set of clips: of their names and digests, in order of the names."""
    lines = sorted(f"{record.name}\0{record.digest}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class Store:
    """The folder of an unfinished or finished evaluation: what was asked, and a small file for each clip done.

    A later call with the same question goes on where the first stopped; another question is refused.
    """

    def __init__(
        self,
        folder: Path,
        question: dict[str, Any],
        force: bool = False,
        writes: bool = True,
        wants_features: bool = False,
    ) -> None:
        """
        writes          this process prepares the folder; the others of a torchrun only use it
        wants_features  a record without its features is none
        """
        self.folder = folder
        self.wants_features = wants_features
        self.key = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
        self.clips = folder / "clips" / self.key
        settings = folder / "settings.json"
        if not writes:
            return
        if folder.is_file():
            raise FommError(f"{folder} is a file.", "Name a folder for the report.")
        if folder.is_dir() and any(folder.iterdir()) and not force:
            try:
                same = json.loads(settings.read_text(encoding="utf-8")) == json.loads(json.dumps(question))
            except (OSError, ValueError):
                raise FommError(
                    f"{folder} holds other things than an evaluation.", "Name a new folder for the report."
                ) from None
            if not same:
                raise FommError(
                    f"{folder} holds an evaluation of something else.",
                    "Name a new folder, or replace it with --force. The same command would go on with it.",
                )
        disk.write_text(settings, json.dumps(question, indent=2) + "\n", force=True)
        self.clips.mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        return self.clips / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json"

    def read(self, name: str, found: str) -> Record | None:
        """The record of a clip whose bytes still have the digest `found`."""
        try:
            record = Record.from_json(json.loads(self._path(name).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if self.wants_features and not self._features(name).is_file():
            return None
        return record if record.name == name and record.digest == found and record.skipped is None else None

    def _features(self, name: str) -> Path:
        return self._path(name).with_suffix(".npz")

    def features(self, name: str) -> dict[str, np.ndarray]:
        """What was kept of a clip: column -> (frames, D)."""
        with np.load(self._features(name), allow_pickle=False) as archive:
            return {column: archive[column] for column in archive.files}

    def write(self, record: Record) -> None:
        """Keep a clip, its features first; they then leave the memory."""
        self.clips.mkdir(parents=True, exist_ok=True)
        if record.features:
            with disk.atomic_path(self._features(record.name), force=True) as temporary:
                np.savez(temporary, **record.features)  # type: ignore[arg-type]
            record.features = {}
        disk.write_text(self._path(record.name), json.dumps(record.to_json()), force=True)

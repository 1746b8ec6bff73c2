"""What can be asked of weights, one class a question: a clip rebuilt, a drawn person animated, a real one animated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from fomm_cli.data.clips import Clip, ClipRef
from fomm_cli.data.toon import VERSION
from fomm_cli.errors import FommError
from fomm_cli.evaluate import records, report, sheets, testset
from fomm_cli.evaluate.frechet import TRUTH
from fomm_cli.evaluate.methods import Column, Mode, columns
from fomm_cli.evaluate.metrics import Flicker, Kind
from fomm_cli.evaluate.observers import PUBLISHED_SIDE, Sight, compare_embeddings, compare_points, pose_error
from fomm_cli.evaluate.records import Record, Tally
from fomm_cli.evaluate.setup import Setup
from fomm_cli.evaluate.sheets import Figure
from fomm_cli.evaluate.testset import Pair
from fomm_cli.evaluate.toon import RATE, People, Question
from fomm_cli.media.image import fit
from fomm_cli.model.pixels import to_frames, to_tensor

MODES: tuple[Mode, ...] = ("relative", "absolute")
"""What every family has; avd has to be asked for."""


class Item(Protocol):
    """What is measured as one: a clip, a pair of clips, a person."""

    @property
    def name(self) -> str: ...


class Task(Protocol):
    """One question, about every item by itself.

    name   in the report
    kind   what its metrics are known by, see `metrics.names`
    seed   of whatever is drawn at random, the bootstrap included
    paper  the paper's set whose rows stand beside the numbers; None shows none
    items  in the order of the report
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]

    @property
    def seed(self) -> int: ...

    @property
    def paper(self) -> str | None: ...

    @property
    def items(self) -> Sequence[Any]: ...

    def table(self, setup: Setup) -> list[Column]:
        """The columns of the report."""
        ...

    def about(self, setup: Setup) -> dict[str, Any]:
        """What the question depends on, for the report; another answer makes another evaluation."""
        ...

    def digest(self, item: Any, setup: Setup) -> str:
        """Of all that the answer for an item depends on, besides `about`."""
        ...

    def measure(self, item: Any, setup: Setup) -> Record:
        """Every column on one item. Raises FommError where it cannot be read; the item is then skipped."""
        ...

    def sheet(self, item: Any, setup: Setup, caption: str) -> Figure:
        """The item to look at: the truth, what every network made of it, where it errs."""
        ...


@dataclass(frozen=True)
class Reconstruction:
    """The first frame of a clip as source, driven by all its frames, against those frames.

    Every frame counts, the first included, as in the published evaluation.
    """

    items: Sequence[ClipRef]
    data: str = ""
    layout: str = ""
    paper: str | None = None
    seed: int = 0
    name: ClassVar[str] = "reconstruction"
    kind: ClassVar[Kind] = "reconstruction"

    @classmethod
    def of(
        cls,
        data: str | Path,
        part: str = "test",
        listed: Path | None = None,
        limit: int = 0,
        paper: str = "auto",
        seed: int = 0,
    ) -> Reconstruction:
        """The test clips of a set, see `testset.find`.

        limit  only the first clips; 0 takes all
        paper  vox, taichi, nemo or bair; auto goes by the folder's name; none
        """
        rows = report.which(paper, Path(data))
        found = testset.find(Path(data), seed, part, listed)
        return cls(found.clips[: limit or None], str(data), found.layout, rows, seed)

    def table(self, setup: Setup) -> list[Column]:
        return [Column(method.name, method, "reconstruction") for method in setup.methods]

    def about(self, setup: Setup) -> dict[str, Any]:
        return {"data": self.data, "split": self.layout}

    def digest(self, item: ClipRef, setup: Setup) -> str:
        return records.digest(item.path)

    def measure(self, item: ClipRef, setup: Setup) -> Record:
        clip = testset.opened(item)
        try:
            size, table = setup.size, self.table(setup)
            record = Record(item.name, resized=size is not None and tuple(clip.size) != tuple(size))
            record.tallies = {column.name: Tally() for column in table}
            shelf = setup.shelf()
            performances = None
            for pixels, driving in testset.batches(clip, size, setup.batch, setup.device):
                if performances is None:
                    source = driving[:1].clone()
                    performances = [column.method.start(source, source, "reconstruction") for column in table]
                seen = setup.observers.look(pixels)
                if shelf is not None:
                    shelf.add(TRUTH, pixels)
                for column, perform in zip(table, performances, strict=True):
                    tally = record.tallies[column.name]
                    prediction = perform(driving).prediction
                    setup.measures.add(tally, prediction, driving)
                    if setup.observers or shelf is not None:
                        made = to_frames(prediction)
                        size_of = (pixels.shape[1], pixels.shape[2])
                        setup.observers.compare(tally, seen, setup.observers.look(made), size_of)
                        if shelf is not None:
                            shelf.add(column.name, made)
                record.frames += len(pixels)
            record.features = shelf.arrays() if shelf is not None else {}
            return record
        finally:
            clip.close()

    def sheet(self, item: ClipRef, setup: Setup, caption: str) -> Figure:
        clip = item.open()
        try:
            numbers, pixels = sheets.spread(clip, setup.size)
        finally:
            clip.close()
        pictures = to_tensor(pixels, setup.device)
        source, driving, truth = pictures[:1], pictures[1:], pixels[1:]
        rows, labels = [list(truth)], ["driving"]
        for column in self.table(setup):
            made = to_frames(column.method.start(source, source, "reconstruction")(driving).prediction)
            rows += [list(made), list(map(sheets.error_map, made, truth))]
            labels += [column.name, "error"]
        return Figure(caption, sheets.page_sheet(rows, [f"frame {number}" for number in numbers], labels))


class Person(NamedTuple):
    """Held-out person `number` of the procedural set, to be driven by another."""

    number: int

    @property
    def name(self) -> str:
        return f"person {self.number:04d}"


@dataclass(frozen=True)
class ToonAnimation:
    """One person of the procedural set driven by another, against the true answer, which the set can draw.

    identities  how many held-out people; frames: driving frames of each, 1/3 second apart
    """

    identities: int = 200
    frames: int = 8
    modes: tuple[Mode, ...] = MODES
    adapt_scale: bool = True
    seed: int = 0
    name: ClassVar[str] = "animation"
    kind: ClassVar[Kind] = "toon"
    paper: ClassVar[None] = None

    @property
    def items(self) -> list[Person]:
        return [Person(number) for number in range(self.identities)]

    def people(self, setup: Setup) -> People:
        return People(self.frames, min(setup.size) if setup.size else 128, self.seed, setup.device)

    def table(self, setup: Setup) -> list[Column]:
        return columns(setup.methods, self.modes, self.adapt_scale)

    def about(self, setup: Setup) -> dict[str, Any]:
        side = self.people(setup).size
        return {
            "data": f"toon {VERSION}, held-out people",
            "identities": self.identities,
            "frames": self.frames,
            "rate": RATE,
            "modes": list(self.modes),
            "adapt_scale": self.adapt_scale,
            "size": [side, side],
        }

    def digest(self, item: Person, setup: Setup) -> str:
        side = self.people(setup).size
        address = f"toon {VERSION} seed {self.seed} {item.name} frames {self.frames} rate {RATE} side {side}"
        return hashlib.sha256(address.encode()).hexdigest()

    def _question(self, item: Person, setup: Setup, mode: Mode) -> Question:
        # avd gives the driving pose too, had the source taken it
        return self.people(setup).animation(item.number, absolute=mode != "relative")

    def measure(self, item: Person, setup: Setup) -> Record:
        """The source is not among the frames that count."""
        record = Record(item.name, frames=self.frames)
        asked = {mode: self._question(item, setup, mode) for mode in self.modes}
        for column in self.table(setup):
            source, initial, driving, truth, _ = asked[column.mode]
            prediction = column.method.start(source, initial, column.mode, self.adapt_scale)(driving).prediction
            tally = record.tallies[column.name] = Tally()
            setup.measures.add(tally, prediction, truth)
        return record

    def sheet(self, item: Person, setup: Setup, caption: str) -> Figure:
        """Driving frames, and for each mode the drawn truth, what every network made of it and where it errs."""
        rows: list[list[np.ndarray]] = []
        labels: list[str] = []
        shown = slice(0, sheets.COLUMNS)
        for mode in self.modes:
            source, initial, driving, truth, _ = self._question(item, setup, mode)
            if not rows:
                rows.append([*to_frames(source), *to_frames(driving[shown])])
                labels.append("source, driving")
            true = to_frames(truth[shown])
            rows.append([*to_frames(initial), *true])
            labels.append(f"start, true {mode}")
            blank = np.full_like(true[0], 255)
            for column in self.table(setup):
                if column.mode == mode and column.method.size is not None:
                    perform = column.method.start(source, initial, mode, self.adapt_scale)
                    made = to_frames(perform(driving[shown]).prediction)
                    rows += [[blank, *made], [blank, *map(sheets.error_map, made, true)]]
                    labels += [column.name, "error"]
        heads = ["", *(f"frame {number + 1}" for number in range(len(rows[0]) - 1))]
        return Figure(caption, sheets.page_sheet(rows, heads, labels))


@dataclass(frozen=True)
class PairAnimation:
    """One real clip's first frame driven by another clip, with nothing but detectors to judge by.

    identity  distance between the embeddings of the source and of each frame of the result
    mkr       points found in the driving frame and not in the result
    pose      see `observers.pose_error`
    flicker   see `metrics.Flicker`
    """

    items: Sequence[Pair]
    data: str = ""
    layout: str = ""
    origin: str = ""
    modes: tuple[Mode, ...] = MODES
    adapt_scale: bool = True
    seed: int = 0
    name: ClassVar[str] = "animation"
    kind: ClassVar[Kind] = "pairs"
    paper: ClassVar[None] = None

    @classmethod
    def of(
        cls,
        data: str | Path,
        pairs: Path | None = None,
        count: int = 50,
        modes: tuple[Mode, ...] = MODES,
        adapt_scale: bool = True,
        part: str = "test",
        listed: Path | None = None,
        seed: int = 0,
    ) -> PairAnimation:
        """Pairs of a list, see `testset.read_pairs`, or `count` random ones of a set's test clips."""
        found = testset.find(Path(data), seed, part, listed)
        if pairs is not None:
            chosen, origin = testset.read_pairs(pairs, [*found.clips, *found.others]), str(pairs)
        else:
            chosen = testset.draw_pairs(found.clips, count, seed)
            origin = f"{len(chosen)} random ones of the test clips"
        return cls(chosen, str(data), found.layout, origin, modes, adapt_scale, seed)

    def table(self, setup: Setup) -> list[Column]:
        return columns(setup.methods, self.modes, self.adapt_scale)

    def about(self, setup: Setup) -> dict[str, Any]:
        return {
            "data": self.data,
            "split": self.layout,
            "pairs": self.origin,
            "modes": list(self.modes),
            "adapt_scale": self.adapt_scale,
        }

    def digest(self, item: Pair, setup: Setup) -> str:
        both = records.digest(item.source.path) + records.digest(item.driving.path)
        return hashlib.sha256(both.encode()).hexdigest()

    def measure(self, item: Pair, setup: Setup) -> Record:
        driving_clip, source_clip = testset.opened(item.driving), item.source.open()
        observers, shelf, table = setup.observers, setup.shelf(), self.table(setup)
        try:
            if item.frame >= len(driving_clip):
                raise FommError(f"{item.driving.path} has {len(driving_clip)} frames: none is number {item.frame}.")
            wanted = setup.size or (driving_clip.size[0], driving_clip.size[1])
            record = Record(item.name)
            record.resized = any((clip.size[0], clip.size[1]) != wanted for clip in (driving_clip, source_clip))
            first = _picture(source_clip, 0, wanted)
            initial = to_tensor(_picture(driving_clip, item.frame, wanted), setup.device)
            source = to_tensor(first, setup.device)
            seen = observers.look(first)[0] if observers else Sight(None, None)
            performances = [column.method.start(source, initial, column.mode, self.adapt_scale) for column in table]
            record.tallies = {column.name: Tally() for column in table}
            paths: dict[str, list[np.ndarray | None]] = {column.name: [] for column in table}
            driven: list[np.ndarray | None] = []
            flickers = {column.name: Flicker() for column in table} if "flicker" in setup.metrics else {}
            for pixels, driving in testset.batches(driving_clip, wanted, setup.batch, setup.device):
                truth = observers.look(pixels)
                if shelf is not None:
                    shelf.add(TRUTH, pixels)
                driven += [sight.points for sight in truth]
                for column, perform in zip(table, performances, strict=True):
                    tally = record.tallies[column.name]
                    result = to_frames(perform(driving).prediction)
                    if shelf is not None:
                        shelf.add(column.name, result)
                    if column.name in flickers:
                        flickers[column.name].add(tally, result, pixels)
                    for true, made in zip(truth, observers.look(result), strict=True):
                        paths[column.name].append(made.points)
                        if observers.points is not None:
                            compare_points(tally, true.points, made.points, distance=None)
                        if observers.embedding is not None:
                            compare_embeddings(tally, seen.embedding, made.embedding, "identity", squared=None)
                record.frames += len(pixels)
            if observers.points is not None:
                scale = (PUBLISHED_SIDE / wanted[1], PUBLISHED_SIDE / wanted[0])
                for name, path in paths.items():
                    record.tallies[name].add("pose", pose_error(driven, path, scale))
            record.features = shelf.arrays() if shelf is not None else {}
            return record
        finally:
            driving_clip.close()
            source_clip.close()

    def sheet(self, item: Pair, setup: Setup, caption: str) -> Figure:
        """Source and driving frames, and what every network made of them."""
        source_clip, clip = item.source.open(), item.driving.open()
        try:
            numbers, pixels = sheets.spread(clip, setup.size, item.frame)
            first = _picture(source_clip, 0, (pixels.shape[1], pixels.shape[2]))
        finally:
            source_clip.close()
            clip.close()
        driving, source = to_tensor(pixels, setup.device), to_tensor(first, setup.device)
        rows, labels = [[first[0], *pixels[1:]]], ["source, driving"]
        blank = np.full_like(first[0], 255)
        for column in self.table(setup):
            if column.method.size is not None:
                perform = column.method.start(source, driving[:1], column.mode, self.adapt_scale)
                rows.append([blank, *to_frames(perform(driving[1:]).prediction)])
                labels.append(column.name)
        heads = ["", *(f"frame {number}" for number in numbers)]
        return Figure(caption, sheets.page_sheet(rows, heads, labels))


def _picture(clip: Clip, index: int, size: tuple[int, int]) -> np.ndarray:
    return np.ascontiguousarray(fit(clip.frame(index), size)[None])

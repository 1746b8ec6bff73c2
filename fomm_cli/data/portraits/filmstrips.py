"""The set `portraits` as a folder: film strips of everybody whose portrait can be moved, and pairs with true answers.

Who is held out follows from a person's name alone, what they do from (seed, name, number of the clip): neither other
portraits nor another order change a clip.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from fomm_cli.data.portraits.figure import Figure, prepare
from fomm_cli.data.portraits.play import Acting, sample_acting
from fomm_cli.data.portraits.shot import Others, Scene, draw_clip, part_boxes, sample_scene
from fomm_cli.data.portraits.sittings import Reader, Sitting, people
from fomm_cli.data.portraits.surfaces import UnfitError
from fomm_cli.data.synth import PARTS, Progress, SynthSettings, check_note, write_pairs_table, write_strip
from fomm_cli.errors import FommError
from fomm_cli.files.disk import atomic_path, write_text
from fomm_cli.media.image import read_image

NOTE, BOXES, REJECTED, SHEET = "portraits.json", "test-boxes.json", "rejected.csv", "sheet.png"
VERSION = 1
"""Rises when the same seed gives other pictures."""

TEST_SHARE = 0.1
_RATES = (0.5, 1.0, 1.0, 2.0, 4.0)  # of the asked rate, one a training clip: motions of every size between two frames
_STILL = 0.4  # of the training clips hold the head: small motions count too


class Report(NamedTuple):
    """What a call left in the folder: clips by part, pairs, and how many portraits cannot be moved."""

    train: int
    test: int
    pairs: int
    drawn: int
    kept: int
    rejected: int


def held_out(person: str) -> bool:
    """Whether somebody is in the tenth that no training set contains, of any seed and whoever else is there."""
    return _hash(person, "held out") < TEST_SHARE * 2**32


def _hash(*words: object) -> int:
    """32 bits of the words."""
    text = "\0".join(str(word) for word in words)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


@dataclass(frozen=True)
class _Person:
    name: str
    sittings: list[Sitting]

    @property
    def held(self) -> bool:
        return held_out(self.name)


@dataclass(frozen=True)
class _Work:
    """What every job needs to know, sent to each process once."""

    out: Path
    settings: SynthSettings
    count: int  # training clips of each person
    backdrops: tuple[list[Path], list[Path]]  # of train, of test
    force: bool

    def strip(self, person: _Person, clip: int) -> Path:
        return self.out / ("test" if person.held else "train") / f"{person.name}#{clip}.png"

    def clips(self, person: _Person) -> int:
        return 2 if person.held else self.count

    def still(self, person: _Person, clip: int) -> bool:
        """Whether the head is held."""
        chosen = not person.held and _hash(self.settings.seed, person.name, clip, "still") < _STILL * 2**32
        return chosen or self.settings.still_pose

    def still_head(self, person: _Person, clip: int) -> bool:
        """Whether the head is held but for its turns: in everybody's second test clip, to measure mouth and eyes."""
        return self.settings.still_head or (person.held and clip == 1)

    def rate(self, person: _Person, clip: int) -> float:
        """Frames a second."""
        s = self.settings
        factor = 1.0 if person.held else _RATES[_hash(s.seed, person.name, clip, "rate") % len(_RATES)]
        return max(0.1, s.rate * factor)

    def acting(self, person: _Person, clip: int) -> Acting:
        """What happens in a clip."""
        s, number = self.settings, _hash(person.name, clip)
        rate, still = self.rate(person, clip), self.still(person, clip)
        return sample_acting(s.seed, number, s.frames, rate, person.held, still, self.still_head(person, clip))

    def scene(self, person: _Person, clip: int, figure: Figure) -> Scene:
        """Where it happens."""
        s = self.settings
        random = np.random.default_rng([s.seed, _hash(person.name, clip), _hash(person.name)])
        still = self.still_head(person, clip) or self.still(person, clip)
        return sample_scene(random, figure, s.frames, self.rate(person, clip), s.size, self._others(person.held), still)

    def _others(self, held: bool) -> Others:
        paths = self.backdrops[held]

        def other(random: np.random.Generator) -> np.ndarray:
            try:
                return read_image(paths[random.integers(len(paths))])
            except FommError:
                return np.zeros((1, 1, 3), np.uint8)  # too small for a background: a collage takes its place

        return other


class _Done(NamedTuple):
    person: str
    drawn: int
    kept: int
    boxes: dict[str, Any]
    rejected: list[tuple[str, str]]


_work: _Work
_reader: Reader


def _begin(work: _Work) -> None:
    global _work, _reader
    _work, _reader = work, Reader()
    torch.set_num_threads(1)


def _figures(person: _Person) -> tuple[list[Figure], list[tuple[str, str]]]:
    """Everything usable of a person, and what is not, with the reason."""
    found, rejected = [], []
    for sitting in person.sittings:
        try:
            found.append(prepare(_reader.read(sitting)))
        except UnfitError as error:
            rejected.append((f"{sitting.path.parent.name}/{sitting.path.name}", str(error)))
    return found, rejected


def _strips(person: _Person, boxed: frozenset[str]) -> _Done:
    """Draws all clips of one person that are not there."""
    work, boxes, drawn = _work, {}, 0
    there = all(work.strip(person, clip).exists() for clip in range(work.clips(person)))
    if there and not work.force and (not person.held or work.strip(person, 1).stem in boxed):
        return _Done(person.name, 0, work.clips(person), {}, [])
    figures, rejected = _figures(person)
    if not figures:
        return _Done(person.name, 0, 0, {}, rejected)
    for clip in range(work.clips(person)):
        path, figure = work.strip(person, clip), figures[clip % len(figures)]
        missing = work.force or not path.exists()
        boxless = work.still_head(person, clip) and person.held and path.stem not in boxed
        if not missing and not boxless:
            continue
        acting, scene = work.acting(person, clip), work.scene(person, clip, figure)
        s = work.settings
        if missing:
            write_strip(path, torch.from_numpy(draw_clip(figure, acting, scene, s.size)))
            drawn += 1
        if boxless:
            boxes[path.stem] = part_boxes(figure, acting, scene, s.size).tolist()
    return _Done(person.name, drawn, work.clips(person) - drawn, boxes, rejected)


def _pair(number: int, source: _Person, driver: _Person) -> bool:
    """Draws one pair unless it is there."""
    work = _work
    folder = work.out / "pairs" / f"{number:03d}"
    if (folder / "source.png").exists() and not work.force:
        return False
    s = work.settings
    figures, acts, scenes = [], [], []
    for person in (source, driver):
        figure = _figures(person)[0][0]
        figures.append(figure)
        acts.append(work.acting(person, 0))
        scene = work.scene(person, 0, figure)
        scenes.append(replace(scene, mirrored=False, look=replace(scene.look, camera=0 * scene.look.camera)))

    def film(who: int, acting: Acting) -> torch.Tensor:
        return torch.from_numpy(draw_clip(figures[who], acting, scenes[who], s.size))

    mine, theirs = acts
    answers = {"driving": film(1, theirs), "relative": film(0, mine.relative(theirs)), "absolute": film(0, theirs)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in answers.items():
        write_strip(folder / f"{name}.png", frames)
    # The source last: a pair interrupted half-way is drawn again.
    write_strip(folder / "source.png", film(0, mine.first())[:1])
    return True


def synthesize_portraits(
    sittings: list[Sitting],
    out: str | Path,
    settings: SynthSettings,
    clips: int = 4,
    pairs: bool = False,
    test: int | None = None,
    jobs: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Draws strips of everybody into train/, and two of each held-out person into test/: one of them with a held head.

    How far the head moves between two frames varies in train/, and some of those clips hold its pose. `settings.clips`
    is not asked: the number of clips is no property of a clip.

    What is there already stays. Portraits that cannot be moved are listed in rejected.csv with the reason; `sheet.png`
    shows some of the clips.

    clips  of each person in train/
    test   most people in test/; all who are held out if None
    pairs  also pairs/NNN/, one for each person in test/, and pairs.csv
    jobs   processes
    force  redraw everything, and replace clips made with other settings
    """
    out = Path(out)
    everybody = [_Person(name, pictures) for name, pictures in people(sittings)]
    tested = sorted((p for p in everybody if p.held), key=lambda p: _hash(p.name))
    trained = [p for p in everybody if not p.held]
    _claim(out, settings, force)
    homes = tuple([s.path for p in group for s in p.sittings] for group in (trained or tested, tested or trained))
    work = _Work(out, settings, clips, homes, force)  # type: ignore[arg-type]
    for part, group in (("train", trained if clips else []), ("test", tested)):
        if group:
            (out / part).mkdir(parents=True, exist_ok=True)
    boxes = _read_boxes(out / BOXES)
    limit = len(tested) if test is None else min(test, len(tested))
    with _Crew(work, jobs) as crew:
        total = (len(trained) if clips else 0) + limit + (limit if pairs else 0)
        done: list[_Done] = []
        known = frozenset() if force else frozenset(boxes)

        def follow(results: Iterable[_Done]) -> list[_Done]:
            found = []
            for result in results:
                found.append(result)
                done.append(result)
                boxes.update(result.boxes)
                if progress is not None:
                    progress(len(done), total)
            return found

        usable: list[_Person] = []
        waiting = list(tested)
        while waiting and len(usable) < limit:  # the rejected make room for the next
            batch, waiting = waiting[: limit - len(usable)], waiting[limit - len(usable) :]
            fine = {r.person for r in follow(crew.map(_strips, [(p, known) for p in batch])) if r.drawn + r.kept}
            usable += [p for p in batch if p.name in fine]
        follow(crew.map(_strips, [(p, known) for p in trained if clips]))
        if pairs and len(usable) > 1:
            jobs_ = [(i, p, usable[(i + 1) % len(usable)]) for i, p in enumerate(usable)]
            for count, _ in enumerate(crew.map(_pair, jobs_)):
                if progress is not None:
                    progress(len(done) + count + 1, total)
            write_pairs_table(out / "pairs.csv", len(usable))
    rejected = _write_rejected(out / REJECTED, [row for result in done for row in result.rejected])
    if boxes:
        write_text(out / BOXES, json.dumps({"parts": PARTS, "boxes": dict(sorted(boxes.items()))}) + "\n", force=True)
    if not usable and not any(r.drawn + r.kept for r in done):
        raise FommError("None of the portraits can be moved.", f"{out / REJECTED} says why.")
    _write_sheet(out)
    drawn, kept = (sum(getattr(r, name) for r in done) for name in ("drawn", "kept"))
    return Report(
        drawn + kept - 2 * len(usable),
        2 * len(usable),
        len(usable) if pairs and len(usable) > 1 else 0,
        drawn,
        kept,
        rejected,
    )


class _Crew:
    """Processes that share the work, or this one alone."""

    def __init__(self, work: _Work, jobs: int) -> None:
        self._work, self._jobs = work, jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Crew:
        if self._jobs > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, context, _begin, (self._work,))
        else:
            _begin(self._work)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[..., Any], arguments: list[tuple]) -> Iterator[Any]:
        """Results as they come."""
        if self._pool is None:
            yield from (function(*each) for each in arguments)
            return
        waiting = [self._pool.submit(function, *each) for each in arguments]
        for future in as_completed(waiting):
            yield future.result()


def _claim(out: Path, settings: SynthSettings, force: bool) -> None:
    """Leaves the note that says what the folder holds, or refuses a folder that holds something else."""
    note = {"set": "portraits", "version": VERSION, **asdict(settings)}
    del note["clips"]  # a later call may ask for more of the same
    path = out / NOTE
    if path.exists():
        check_note(path, note, force)
    elif any(next((out / part).glob("*.png"), None) for part in ("train", "test")):
        raise FommError(f"{out} holds clips but no {NOTE}.", "Choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(note, indent=2) + "\n", force=True)


def _read_boxes(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["boxes"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_rejected(path: Path, rows: list[tuple[str, str]]) -> int:
    """Adds to the list, which an earlier call may have begun; returns how many there are."""
    known: dict[str, str] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            known = {row["portrait"]: row["reason"] for row in csv.DictReader(file) if len(row) == 2}
    known |= dict(rows)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["portrait", "reason"])
    writer.writerows(sorted(known.items()))
    write_text(path, table.getvalue(), force=True)
    return len(known)


def _write_sheet(out: Path, rows: int = 12, columns: int = 12) -> None:
    """Some of the strips, below each other, to look at."""
    strips = sorted((out / "train").glob("*.png")) or sorted((out / "test").glob("*.png"))
    chosen = strips[:: max(1, len(strips) // rows)][:rows]
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in chosen]
    side = pictures[0].shape[0]
    width = min(columns, pictures[0].shape[1] // side) * side
    with atomic_path(out / SHEET, force=True) as temporary:
        Image.fromarray(np.concatenate([picture[:, :width] for picture in pictures])).save(temporary)

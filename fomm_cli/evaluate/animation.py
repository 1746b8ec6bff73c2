"""Animation: one subject driven by another, against the drawn truth of the procedural set, or by detectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fomm_cli.data.clips import Clip
from fomm_cli.errors import FommError
from fomm_cli.evaluate.frechet import TRUTH, Shelf
from fomm_cli.evaluate.measures import Measures
from fomm_cli.evaluate.methods import Method, Mode
from fomm_cli.evaluate.observers import PUBLISHED_SIDE, Observers, Sight, compare_embeddings, compare_points
from fomm_cli.evaluate.pairs import Pair
from fomm_cli.evaluate.reading import batches, opened
from fomm_cli.evaluate.records import Record, Tally
from fomm_cli.evaluate.toon import People, Question
from fomm_cli.media.image import fit
from fomm_cli.model.pixels import to_frames, to_tensor

Column = tuple[str, Method, Mode]
"""One column of the table: its name, who animates and how."""


def columns(methods: list[Method], modes: list[Mode]) -> list[Column]:
    return [(label(method, mode), method, mode) for mode in modes for method in methods]


def label(method: Method, mode: Mode) -> str:
    return f"{method.name}, {mode}"


class Person(NamedTuple):
    """Held-out person `number` of the procedural set, to be driven by the person beside."""

    number: int

    @property
    def name(self) -> str:
        return f"person {self.number:04d}"


def question(people: People, person: Person, mode: Mode) -> Question:
    """Source, driving frames and the true answer in a mode."""
    return people.animation(person.number, absolute=mode == "absolute")


def against_truth(
    person: Person, digest: str, table: list[Column], people: People, measures: Measures, adapt_scale: bool
) -> Record:
    """All columns on one person of the procedural set; the source is not among the frames that count."""
    record = Record(person.name, digest, frames=people.frames)
    asked = {mode: question(people, person, mode) for _, _, mode in table}
    for name, method, mode in table:
        source, initial, driving, truth, _ = asked[mode]
        prediction = method.start(source, initial, mode, adapt_scale)(driving).prediction
        tally = record.tallies[name] = Tally()
        measures.add(tally, prediction, truth)
    return record


def of_pair(
    pair: Pair,
    digest: str,
    table: list[Column],
    observers: Observers,
    size: tuple[int, int] | None,
    batch: int,
    device: torch.device,
    adapt_scale: bool,
    shelf: Shelf | None = None,
) -> Record:
    """All columns on two real clips, with nothing but detectors to judge by.

    identity  distance between the embeddings of the source and of each frame of the result
    mkr       points found in the driving frame and not in the result
    pose      see `pose_error`
    """
    driving_clip, source_clip = opened(pair.driving), pair.source.open()
    try:
        if pair.frame >= len(driving_clip):
            raise FommError(f"{pair.driving.path} has {len(driving_clip)} frames: none is number {pair.frame}.")
        wanted = size or (driving_clip.size[0], driving_clip.size[1])
        record = Record(pair.name, digest)
        record.resized = any((clip.size[0], clip.size[1]) != wanted for clip in (driving_clip, source_clip))
        first = _one(source_clip, 0, wanted)
        initial = to_tensor(_one(driving_clip, pair.frame, wanted), device)
        source = to_tensor(first, device)
        seen = observers.look(first)[0] if observers else Sight(None, None)
        performances = [method.start(source, initial, mode, adapt_scale) for _, method, mode in table]
        record.tallies = {name: Tally() for name, _, _ in table}
        paths: dict[str, list[np.ndarray | None]] = {name: [] for name, _, _ in table}
        driven: list[np.ndarray | None] = []
        scale = (PUBLISHED_SIDE / wanted[1], PUBLISHED_SIDE / wanted[0])
        for pixels, driving in batches(driving_clip, wanted, batch, device):
            truth = observers.look(pixels)
            if shelf is not None:
                shelf.add(TRUTH, pixels)
            driven += [sight.points for sight in truth]
            for (name, _, _), perform in zip(table, performances, strict=True):
                tally = record.tallies[name]
                result = to_frames(perform(driving).prediction)
                if shelf is not None:
                    shelf.add(name, result)
                for true, made in zip(truth, observers.look(result), strict=True):
                    paths[name].append(made.points)
                    if observers.points is not None:
                        follow = Tally()  # the distance that comes with it would be one of shapes, too
                        compare_points(follow, true.points, made.points)
                        _take(tally, follow, "mkr")
                    if observers.embedding is not None:
                        kept = Tally()
                        compare_embeddings(kept, seen.embedding, made.embedding)
                        _take(tally, kept, "aed", "identity")
            record.frames += len(pixels)
        if observers.points is not None:
            for name, path in paths.items():
                record.tallies[name].add("pose", pose_error(driven, path, scale))
        return record
    finally:
        driving_clip.close()
        source_clip.close()


def _one(clip: Clip, index: int, size: tuple[int, int]) -> np.ndarray:
    return np.ascontiguousarray(fit(clip.frame(index), size)[None])


def _take(tally: Tally, other: Tally, quantity: str, called: str | None = None) -> None:
    """Move one quantity, and all that was missing, from another tally."""
    if quantity in other.counts:
        tally.add(called or quantity, [other.sums[quantity]])
    for what, frames in other.missing.items():
        tally.miss(what, frames)


def pose_error(
    driving: list[np.ndarray | None], result: list[np.ndarray | None], scale: tuple[float, float] = (1.0, 1.0)
) -> list[float]:
    """How far the points of a result are from those of its driving clip once the difference in shape is taken out.

    Two people's points differ even in one pose. What differs all the time is shape, and where the subject stands: for
    each point its mean offset over the clip is subtracted. The rest is motion that was not followed. A result
    that stands still scores as much as the driving clip moves.

    driving, result  points (N, 2) a frame, NaN or None where missing: such points are left out
    scale            x and y factors to the pixels in which the distance is given
    returns          of each frame with anything to compare, the mean of |dx| and |dy|
    """
    shape = next((points.shape for points in (*driving, *result) if points is not None), None)
    if shape is None:
        return []
    nothing = np.full(shape, np.nan)
    offsets = np.stack(
        [
            (nothing if made is None else made) - (nothing if true is None else true)
            for true, made in zip(driving, result, strict=True)
        ]
    )
    offsets = offsets * scale
    known: NDArray[np.bool_] = np.asarray(np.isfinite(offsets).all(axis=2))  # (frames, N)
    counts = known.sum(axis=0)[:, None]
    middle = np.where(known[..., None], offsets, 0).sum(axis=0) / np.maximum(counts, 1)
    errors = np.abs(offsets - middle).mean(axis=2)
    return [float(errors[frame, known[frame]].mean()) for frame in range(len(offsets)) if known[frame].any()]

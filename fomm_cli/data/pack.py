"""Packing: any data set as one zip of single images per clip, so that training reads two frames and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np

from fomm_cli.data.clips import ClipRef
from fomm_cli.data.packed import FORMAT, PackedClip, Packing, write_clip
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError


class Outcome(NamedTuple):
    """What became of one clip: frames written, 0 where it stood there already; or why it could not be read."""

    ref: ClipRef
    frames: int = 0
    kept: bool = False
    failure: str = ""


@dataclass(frozen=True)
class PackReport:
    """How a packing went."""

    written: int
    kept: int
    frames: int
    bytes: int
    failures: list[tuple[str, str]]


def pack(
    root: str | Path,
    out: str | Path,
    packing: Packing | None = None,
    workers: int = 1,
    force: bool = False,
    report: Callable[[Outcome, int], None] | None = None,
) -> PackReport:
    """Pack every clip below `root` into `out`, with the same names and the same train/ and test/ folders.

    force    pack again what stands there already; without it those are kept, if they were packed alike
    report   called after each clip with its outcome and the number of all clips
    A clip that cannot be read, or whose name is taken, is told in the report; a failure to write ends the packing.
    What is finished stays finished, so the same call goes on after an interruption.
    """
    root, out, packing = Path(root), Path(out), packing or Packing()
    split = find_split(root)
    refs = split.train + split.test
    clashing = _clashing(root, out, refs)
    stop = Event()
    outcomes: list[Outcome] = []

    def work(ref: ClipRef) -> Outcome:
        if ref.path in clashing:
            return Outcome(ref, failure=clashing[ref.path])
        return _pack_one(ref, _place(root, out, ref), packing, force, stop)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            waiting = {pool.submit(work, ref) for ref in refs}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    outcomes.append(future.result())
                    if report is not None:
                        report(outcomes[-1], len(refs))
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    good = [outcome for outcome in outcomes if not outcome.failure]
    return PackReport(
        written=sum(not outcome.kept for outcome in good),
        kept=sum(outcome.kept for outcome in good),
        frames=sum(outcome.frames for outcome in good),
        bytes=sum(_place(root, out, outcome.ref).stat().st_size for outcome in good),
        failures=sorted((str(outcome.ref.path), outcome.failure) for outcome in outcomes if outcome.failure),
    )


def _place(root: Path, out: Path, ref: ClipRef) -> Path:
    return out / ref.path.parent.relative_to(root) / f"{ref.name}.zip"


def _clashing(root: Path, out: Path, refs: list[ClipRef]) -> dict[Path, str]:
    """Clips whose name another one has taken already, with the words for it."""
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise FommError(f"{out} lies inside the data set it is packed from.", "Name a folder beside it.")
    taken: dict[Path, ClipRef] = {}
    clashing = {}
    for ref in refs:
        first = taken.setdefault(_place(root, out, ref), ref)
        if first is not ref:
            clashing[ref.path] = (
                f"{ref.path} would become {ref.name}.zip, as {first.path.name} does: rename one of them."
            )
    return clashing


class _UnreadableError(Exception):
    """The source, and not the place written to, is at fault."""


def _pack_one(ref: ClipRef, target: Path, packing: Packing, force: bool, stop: Event) -> Outcome:
    if target.exists() and not force:
        return _keep(ref, target, packing)
    if target.exists() and not _is_packed(target):
        return Outcome(ref, failure=f"{target} was not packed by fomm: it is not overwritten. Move it away.")
    try:
        clip = ref.open()
    except FommError as error:
        return Outcome(ref, failure=error.what)

    def frames() -> Iterator[np.ndarray]:
        try:
            for frame in clip:
                if stop.is_set():
                    raise KeyboardInterrupt
                yield frame
        except FommError as error:
            raise _UnreadableError(error.what) from error

    try:
        return Outcome(ref, write_clip(target, frames(), packing, clip.rate, force))
    except _UnreadableError as error:
        return Outcome(ref, failure=str(error))
    finally:
        clip.close()


def _is_packed(path: Path) -> bool:
    try:
        return "format" in PackedClip(path).about
    except FommError:
        return False


def _keep(ref: ClipRef, target: Path, packing: Packing) -> Outcome:
    """A finished clip of an earlier run; one that was packed otherwise is refused, not mixed in."""
    clip = PackedClip(target)
    note = packing.note()
    if clip.about.get("format") != FORMAT or any(clip.about.get(key) != value for key, value in note.items()):
        raise FommError(
            f"{target} was packed with other settings.",
            "Pack with the same ones to go on, name another folder, or pack all anew with --force.",
        )
    return Outcome(ref, len(clip), kept=True)

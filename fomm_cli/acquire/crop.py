"""Crop videos to what they show: find and track it, cut a square clip of each track, note how."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli import draw
from fomm_cli.acquire.cutting import Outcome, Style, cut_video
from fomm_cli.acquire.reasons import Failure
from fomm_cli.acquire.stretches import Source
from fomm_cli.acquire.table import Cut, plain_id, read_table, write_table
from fomm_cli.boxes import clip, square
from fomm_cli.data.clips import open_clip
from fomm_cli.detectors.tracking import Finder, Track, find_tracks
from fomm_cli.errors import FommError, counted
from fomm_cli.media.image import resize, write_image

TABLE = "metadata.csv"
_ENDLESS = range(10_000_000)
_ROWS, _COLUMNS, _THUMB = 40, 8, 96


@dataclass(frozen=True)
class Keep:
    """Which tracks become clips.

    pad          share of the box that is added on each side, as far as the picture has it
    min_frames   shortest track
    min_size     smallest side of the square, in pixels of the video
    partition    train or test: the folder they go to
    """

    pad: float = 0.1
    min_frames: int = 64
    min_size: int = 0
    partition: str = "train"


@dataclass(frozen=True)
class Rejected:
    """A track, or a whole video, of which there is no clip, and why."""

    video: str
    start: int
    end: int
    box: tuple[int, int, int, int]
    reason: str


@dataclass
class Report:
    """What cropping has come to.

    files   where the clip of each kept cut lies
    sheets  preview pictures
    """

    kept: list[Cut] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    broken: list[tuple[Path, str]] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)
    frames: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "kept": [
                {"clip": cut.name, "file": str(path), "frames": [cut.start, cut.end], "box": list(cut.box)}
                for cut, path in zip(self.kept, self.files, strict=True)
            ],
            "rejected": [vars(clip) for clip in self.rejected],
            "unreadable": [{"video": str(path), "reason": reason} for path, reason in self.broken],
            "sheets": [str(path) for path in self.sheets],
            "frames": self.frames,
        }


def crop_videos(
    videos: Sequence[Path],
    out: Path,
    finder: Callable[[], Finder],
    keep: Keep,
    style: Style,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Find tracks in each video and cut them into OUT/PARTITION, with OUT/metadata.csv and OUT/sheets/VIDEO.png.

    finder   makes a new one for each video
    """
    names = _names(videos)
    known = read_table(out / TABLE).cuts if (out / TABLE).exists() else []
    again = sorted({cut.video for cut in known} & set(names.values()))
    if again and not force:
        raise FommError(
            f"{out / TABLE} lists clips of {again[0]} already.", "Name another --out, or crop it again with --force."
        )
    report = Report()
    for video in videos:
        say(f"{video}: looking")
        try:
            cuts, rejected = find_cuts(video, names[video], finder(), keep)
        except Failure as failure:
            report.broken.append((video, failure.message))
            continue
        report.rejected += rejected
        done: list[Outcome] = []
        if cuts:
            say(f"{video}: cutting {counted(len(cuts), 'clip')}")
            cut_video(video, cuts, out, style, done.append, force=True)
        report.rejected += [_lost(piece, str(piece.failure)) for piece in done if piece.failure is not None]
        good = sorted((piece for piece in done if piece.failure is None), key=lambda piece: cuts.index(piece.cut))
        report.kept += [piece.cut for piece in good]
        report.files += [style.file(out, piece.cut) for piece in good]
        report.frames += sum(piece.frames for piece in good)
        earlier = [cut for cut in known if cut.video == names[video]]
        known = [cut for cut in known if cut.video != names[video]] + [piece.cut for piece in good]
        if good or earlier:
            write_table(out / TABLE, known, force=True)
        for path in {style.file(out, cut) for cut in earlier} - set(report.files):
            _delete(path)
        if good:
            report.sheets += _sheets(out, names[video], [style.file(out, piece.cut) for piece in good])
    return report


def _delete(path: Path) -> None:
    """A clip of an earlier crop, a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _names(videos: Sequence[Path]) -> dict[Path, str]:
    """The id of each video: its file name without suffix, made plain."""
    names = {video: plain_id(video.stem) for video in videos}
    for video, name in names.items():
        twin = next((other for other, used in names.items() if used == name and other != video), None)
        if twin is not None:
            raise FommError(f"{video} and {twin} would both be called {name}.", "Crop them into different folders.")
    return names


def find_cuts(video: Path, name: str, finder: Finder, keep: Keep) -> tuple[list[Cut], list[Rejected]]:
    """The clips to cut of a video, in order, and the tracks that are none."""
    with Source(video) as source:
        tracks = list(find_tracks(source.frames([_ENDLESS]), finder))
        width, height, rate = source.width, source.height, source.rate
    cuts: list[Cut] = []
    rejected: list[Rejected] = []
    for track in sorted(tracks, key=lambda track: (track.start, track.box)):
        box = square(clip(track.box, width, height), width, height, keep.pad)
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        why = _refuse(track, box.width, keep)
        if why:
            rejected.append(Rejected(name, track.start, track.end, edges, why))
            continue
        lane = _lane(cuts, track)
        person = name if not lane else f"{name}.{lane + 1}"
        cuts.append(Cut(name, track.start, track.end, edges, rate, width, height, keep.partition, person))
    return cuts, rejected


def _refuse(track: Track, side: int, keep: Keep) -> str:
    if not track.score:
        return track.why
    if len(track) < keep.min_frames:
        return f"{len(track)} frames, fewer than {keep.min_frames}; it ended by {track.why}"
    if side < keep.min_size:
        return f"{side} px, smaller than {keep.min_size}"
    return ""


def _lane(cuts: list[Cut], track: Track) -> int:
    """Things that are seen at once are different ones: the first number that nothing seen meanwhile has."""
    taken = [cut for cut in cuts if cut.start < track.end and track.start < cut.end]
    used = {int((cut.person or "").removeprefix(cut.video).removeprefix(".") or 1) - 1 for cut in taken}
    return next(lane for lane in range(len(used) + 1) if lane not in used)


def _lost(outcome: Outcome, reason: str) -> Rejected:
    cut = outcome.cut
    return Rejected(cut.video, cut.start, cut.end, cut.box, reason)


def _sheets(out: Path, name: str, clips: Sequence[Path]) -> list[Path]:
    """Pictures of all clips, a row each, as they lie on disk."""
    paths = []
    for page, begin in enumerate(range(0, len(clips), _ROWS)):
        rows, labels = [], []
        for path in clips[begin : begin + _ROWS]:
            rows.append(_strip(path))
            labels.append(path.name.removesuffix(".zip").removesuffix(".mp4").split("#", 1)[-1])
        paths.append(out / "sheets" / (f"{name}.png" if not page else f"{name}-{page + 1}.png"))
        write_image(paths[-1], draw.sheet(rows, labels=labels), force=True)
    return paths


def _strip(path: Path) -> list[np.ndarray]:
    """A few frames of a clip, from its first to its last."""
    clip = open_clip(path)
    try:
        numbers = sorted({round(place) for place in np.linspace(0, len(clip) - 1, min(_COLUMNS, len(clip)))})
        return [resize(frame, (_THUMB, _THUMB)) for frame in clip.frames(numbers)]
    finally:
        clip.close()

"""The set `toon` as data: clips in memory, clips on disk, and pairs with their true animations.

Who is in a clip and what they do follow from (seed, number) alone. `test/`, pairs and everything else made for
evaluation come from the held-out half of the key space (see `toon.noise`), so no training set, whatever its seed and
length, can contain a person or a trajectory that a test set has.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from fomm_cli.data import toon
from fomm_cli.errors import FommError
from fomm_cli.files.disk import atomic_path, explain_os_error, write_text
from fomm_cli.model.pixels import to_frames

NOTE = "toon.json"
PARTS = ("eye_left", "eye_right", "mouth")
TEST_SHARE = 0.1
_MAX_FRAMES = 512  # a film strip of 128 px frames stays below the 65,500 px that image libraries take
_OURS = ("toon*#*.png", "held*#*.png")

Progress = Callable[[int, int], None]
"""Called with the clips done so far and the total."""


@dataclass(frozen=True)
class SynthSettings:
    """What a folder of clips looks like: two folders with equal settings hold equal clips.

    seed        0 <= seed < 2**31
    size        pixels of a side
    frames      frames a clip
    rate        frames a second of the trajectories: the lower, the more happens between two frames
    clips       clips of each person
    still_head  shift, scale and roll held, for measuring mouth and eyes alone
    still_pose  the whole pose held as in the first frame, for learning mouth and eyes
    """

    seed: int
    size: int = 128
    frames: int = 32
    rate: float = 10.0
    clips: int = 1
    still_head: bool = False
    still_pose: bool = False

    def __post_init__(self) -> None:
        limits = {"seed": (0, 2**31 - 1), "size": (8, 4096), "frames": (1, _MAX_FRAMES), "clips": (1, 10_000)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise FommError(f"{name} {getattr(self, name)} is outside {low} to {high}.", f"Choose another {name}.")
        if not 0.1 <= self.rate <= 1000:
            raise FommError(f"rate {self.rate:g} is outside 0.1 to 1000 frames a second.", "25 is that of video.")
        if self.size * self.frames > 65_500:
            raise FommError(
                f"A film strip of {self.frames} frames of {self.size} px is wider than the 65,500 px an image may be.",
                f"Ask for at most {65_500 // self.size} frames.",
            )

    def person(self, clip: int, held_out: bool = False) -> toon.Identity:
        """Who is in a clip, with a batch axis of one."""
        return toon.sample_identity(self.seed, 1, clip // self.clips, held_out)

    def motion(self, clip: int, held_out: bool = False) -> toon.Motion:
        """What they do, batch axis (frames,)."""
        motion = toon.sample_motion(self.seed, self.frames, 1, clip, self.rate, held_out)[0]
        if self.still_pose:
            motion = toon.still_pose(motion)
        return toon.still_head(motion) if self.still_head else motion

    def name(self, clip: int, held_out: bool = False) -> str:
        """`toon00012#0`: the person, then which of their clips; `held` for people no training has met."""
        return f"{'held' if held_out else 'toon'}{clip // self.clips:05d}#{clip % self.clips}"


def render_clip(
    settings: SynthSettings, clip: int, held_out: bool = False, device: torch.device | str | None = None
) -> torch.Tensor:
    """One clip as uint8 (frames, size, size, 3), on the CPU."""
    pictures = toon.draw(settings.person(clip, held_out), settings.motion(clip, held_out), settings.size, device)
    return torch.from_numpy(to_frames(pictures))


def render_clips(
    seed: int,
    clips: int,
    frames: int = 32,
    size: int = 128,
    start: int = 0,
    rate: float = 10.0,
    held_out: bool = False,
    still_head: bool = False,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Clips `start` to `start + clips - 1` of a seed, each of another person, drawn one clip at a time.

    returns uint8 (clips, frames, size, size, 3) on the CPU: 1.5 GiB for 1000 clips of 32 frames of 128 px
    """
    settings = SynthSettings(seed, size, frames, rate, still_head=still_head)
    film = torch.empty(clips, frames, size, size, 3, dtype=torch.uint8)
    for number in range(clips):
        film[number] = render_clip(settings, start + number, held_out, device)
        if progress is not None:
            progress(number + 1, clips)
    return film


def clip_boxes(settings: SynthSettings, clip: int, held_out: bool = False) -> torch.Tensor:
    """Where eyes and mouth are in each frame of a clip: int64 (frames, 3, 4), parts in the order of PARTS.

    left, top, right, bottom in pixels, right and bottom excluded.
    """
    return toon.boxes(settings.person(clip, held_out), settings.motion(clip, held_out), settings.size)


class ToonPair(NamedTuple):
    """A source picture, somebody else's motion, and what the true answers are. All uint8.

    source    (size, size, 3)          A in A's own start pose
    driving   (frames, size, size, 3)  B in B's motion
    relative  (frames, size, size, 3)  A: A's start plus B's change since B's first frame
    absolute  (frames, size, size, 3)  A in B's motion as it is
    """

    source: torch.Tensor
    driving: torch.Tensor
    relative: torch.Tensor
    absolute: torch.Tensor


def render_pair(settings: SynthSettings, pair: int, device: torch.device | str | None = None) -> ToonPair:
    """Pair number `pair` of a seed: two held-out people, whom no other pair has, in different start poses."""
    first, second = 2 * pair, 2 * pair + 1
    one = SynthSettings(**{**asdict(settings), "clips": 1})
    source, driver = one.person(first, held_out=True), one.person(second, held_out=True)
    start = one.motion(first, held_out=True)[0]
    motion = one.motion(second, held_out=True)

    def film(person: toon.Identity, poses: toon.Motion) -> torch.Tensor:
        return torch.from_numpy(to_frames(toon.draw(person, poses, one.size, device)))

    return ToonPair(
        source=film(source, start[None])[0],
        driving=film(driver, motion),
        relative=film(source, toon.relative(start, motion)),
        absolute=film(source, motion),
    )


class SynthReport(NamedTuple):
    """What a call to `synthesize` left in the folder."""

    train: int
    test: int
    pairs: int
    drawn: int
    kept: int


def synthesize(
    out: str | Path,
    videos: int,
    settings: SynthSettings,
    pairs: bool = False,
    test: int | None = None,
    force: bool = False,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> SynthReport:
    """Writes `videos` film strips below `out`, those that are there already left as they are.

    test   how many of them go to `test/`; a tenth if None, and at least one where there are two
    pairs  also `pairs/NNN/`, as many as there are test clips, and `pairs.csv`
    force  redraw everything, and replace clips made with other settings
    """
    if videos < 1:
        raise FommError(f"{videos} videos make no data set.", "Ask for at least one.")
    held = min(max(1, round(TEST_SHARE * videos)), videos - 1) if test is None else test
    if not 0 <= held <= videos:
        raise FommError(f"{held} test clips of {videos} videos are too many.", "Ask for fewer test clips.")
    out = Path(out)
    try:
        for part, count in (("train", videos - held), ("test", held)):
            if count:
                (out / part).mkdir(parents=True, exist_ok=True)
        _claim(out, settings, {"train": videos - held, "test": held}, force)
    except OSError as error:
        raise explain_os_error(error, out) from error
    jobs = list(_jobs(out, settings, videos - held, held, pairs))
    drawn = 0
    for number, (path, paint) in enumerate(jobs):
        if force or not path.exists():
            paint(path, device)
            drawn += 1
        if progress is not None:
            progress(number + 1, len(jobs))
    if held:
        _write_boxes(out / "test-boxes.json", settings, held)
    if pairs:
        write_pairs_table(out / "pairs.csv", held)
    return SynthReport(videos - held, held, held if pairs else 0, drawn, len(jobs) - drawn)


def check_note(path: Path, note: dict[str, Any], force: bool) -> None:
    """Refuse a folder whose note tells of other settings than `note`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    differing = [f"{key} {found.get(key)}" for key in note if found.get(key) != note[key]]
    if differing and not force:
        raise FommError(
            f"{path.parent} holds clips with other settings: {', '.join(differing)}.",
            "Choose another folder, or replace them with --force.",
        )


def _claim(out: Path, settings: SynthSettings, counts: dict[str, int], force: bool) -> None:
    """Leaves the note that says what the folder holds, or refuses a folder that holds something else."""
    note = {"set": "toon", "version": toon.VERSION, **asdict(settings)}
    path = out / NOTE
    there = {part: [p for pattern in _OURS for p in (out / part).glob(pattern)] for part in counts}
    if path.exists():
        check_note(path, note, force)
    elif any(there.values()) and not force:
        raise FommError(f"{out} holds clips but no {NOTE}.", "Choose another folder, or replace them with --force.")
    for part, count in counts.items():
        if len(there[part]) > count and not force:
            raise FommError(
                f"{out / part} holds {len(there[part])} clips, more than the {count} asked for.",
                "Ask for more videos, choose another folder, or replace them with --force.",
            )
    if force:
        for stale in (p for paths in there.values() for p in paths):
            stale.unlink()
    write_text(path, json.dumps(note, indent=2) + "\n", force=True)


Paint = Callable[[Path, "torch.device | str | None"], None]


def _jobs(out: Path, settings: SynthSettings, train: int, test: int, pairs: bool) -> Iterator[tuple[Path, Paint]]:
    """Each unit of work: the file whose presence says that it is done, and the function that makes it."""
    for held_out, count, part in ((False, train, "train"), (True, test, "test")):
        for clip in range(count):

            def paint(path: Path, device: torch.device | str | None, clip: int = clip, held: bool = held_out) -> None:
                write_strip(path, render_clip(settings, clip, held, device))

            yield out / part / f"{settings.name(clip, held_out)}.png", paint
    for pair in range(test if pairs else 0):

        def paint_pair(path: Path, device: torch.device | str | None, pair: int = pair) -> None:
            answer = render_pair(settings, pair, device)
            # The source last: a pair interrupted half-way is drawn again.
            for name in ("driving", "relative", "absolute"):
                write_strip(path.with_name(f"{name}.png"), getattr(answer, name))
            write_strip(path, answer.source[None])

        yield out / "pairs" / f"{pair:03d}" / "source.png", paint_pair


def write_strip(path: Path, frames: torch.Tensor) -> None:
    """Frames uint8 (T, H, W, 3) side by side in one lossless PNG (H, T * W, 3), written whole or not at all."""
    height = frames.shape[1]
    strip = frames.permute(1, 0, 2, 3).reshape(height, -1, 3).numpy()
    with atomic_path(path, force=True) as temporary:
        Image.fromarray(np.ascontiguousarray(strip)).save(temporary, compress_level=4)


def _write_boxes(path: Path, settings: SynthSettings, test: int) -> None:
    """Beside `test/`: {"parts": [...], "boxes": {clip: [[[left, top, right, bottom] a part] a frame]}}."""
    boxes = {settings.name(clip, True): clip_boxes(settings, clip, True).tolist() for clip in range(test)}
    write_text(path, json.dumps({"parts": PARTS, "boxes": boxes}) + "\n", force=True)


def write_pairs_table(path: Path, pairs: int) -> None:
    """pairs.csv: the files of each pair."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["pair", "source", "driving", "relative", "absolute"])
    for pair in range(pairs):
        files = [f"pairs/{pair:03d}/{name}.png" for name in ("source", "driving", "relative", "absolute")]
        writer.writerow([f"{pair:03d}", *files])
    write_text(path, table.getvalue(), force=True)

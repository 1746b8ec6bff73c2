"""What a data set holds, and what a training would trip over, found before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fomm_cli.config.schema import Config
from fomm_cli.data.clips import ClipRef
from fomm_cli.data.split import Split, find_split
from fomm_cli.errors import FommError

SLOW_FRAMES = 60  # a direct video clip should not make a reader decode more than this to get at one frame


class Seen(NamedTuple):
    """One clip, opened. failure is empty where all frames that were tried could be decoded."""

    ref: ClipRef
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    slow: bool = False
    failure: str = ""


@dataclass(frozen=True)
class Part:
    """The clips of `train` or `test` that can be read.

    sizes      "WIDTHxHEIGHT" to the number of clips
    kinds      layout to the number of clips
    smallest, largest   (name, frames)
    """

    clips: int
    frames: int
    identities: int
    sizes: dict[str, int]
    kinds: dict[str, int]
    smallest: tuple[str, int] | None
    largest: tuple[str, int] | None


@dataclass(frozen=True)
class CheckReport:
    """
    unreadable   (path, reason)
    errors       what makes a training impossible
    warnings     what makes it slower or worse than it could be
    """

    root: str
    layout: str
    train: Part
    test: Part
    unreadable: list[tuple[str, str]]
    ignored: list[str]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        return not self.errors

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"usable": self.usable}


def check(
    root: str | Path,
    config: Config | None = None,
    seed: int = 0,
    full: bool = False,
    workers: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Open every clip of a data set and decode its first, middle and last frame.

    config   what is to be trained, for what depends on it: batch, identities, frame shape
    full     decode every frame, which finds damage anywhere
    report   called after each clip with the clips done and the number of all
    """
    split = find_split(root, seed)
    refs = split.train + split.test
    seen: list[Seen] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for clip in pool.map(lambda ref: look(ref, full), refs):
                seen.append(clip)
                if report is not None:
                    report(len(seen), len(refs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    train, test = seen[: len(split.train)], seen[len(split.train) :]
    result = CheckReport(
        root=str(root),
        layout=split.layout,
        train=_part(train),
        test=_part(test),
        unreadable=[(str(clip.ref.path), clip.failure) for clip in seen if clip.failure],
        ignored=[str(path) for path in split.ignored],
    )
    _judge(result, split, [clip for clip in train if not clip.failure], config)
    return result


def look(ref: ClipRef, full: bool = False) -> Seen:
    """Open a clip and decode some of its frames, or all of them."""
    try:
        clip = ref.open()
        try:
            count = len(clip)
            if full:
                for _ in clip:
                    pass
            else:
                clip.frames(sorted({0, count // 2, count - 1}))
            return Seen(ref, count, clip.size, not clip.direct or getattr(clip, "reach", 1) > SLOW_FRAMES)
        finally:
            clip.close()
    except FommError as error:
        return Seen(ref, failure=error.what)


def _part(seen: list[Seen]) -> Part:
    good = [clip for clip in seen if not clip.failure]
    by_length = sorted(good, key=lambda clip: clip.frames)
    sizes = Counter(f"{clip.size[1]}x{clip.size[0]}" for clip in good)
    return Part(
        clips=len(good),
        frames=sum(clip.frames for clip in good),
        identities=len({clip.ref.identity for clip in good}),
        sizes=dict(sizes.most_common()),
        kinds=dict(Counter(clip.ref.kind for clip in good).most_common()),
        smallest=(by_length[0].ref.name, by_length[0].frames) if by_length else None,
        largest=(by_length[-1].ref.name, by_length[-1].frames) if by_length else None,
    )


def _judge(report: CheckReport, split: Split, train: list[Seen], config: Config | None) -> None:
    errors, warnings = report.errors, report.warnings
    warnings += split.notes
    if not train:
        errors.append("No training clip can be read.")
        return
    single = [clip.ref.name for clip in train if clip.frames == 1]
    if len(single) == len(train):
        errors.append("Every training clip has a single frame: there is no motion to learn.")
    elif single:
        warnings.append(f"{_some(single)} of a single frame: source and driving are then the same picture.")
    if report.unreadable:
        warnings.append(
            f"{len(report.unreadable)} of {len(split.train) + len(split.test)} clips cannot be read; "
            "a training skips them and draws others."
        )
    if not report.test.clips:
        warnings.append("No clip is left for validation: there is no test/ folder and too little to split.")
    shared = {ref.identity for ref in split.train} & {ref.identity for ref in split.test}
    if shared:
        warnings.append(f"{_some(sorted(shared), 'identities')} in both train and test: validation will look too good.")
    if len(report.train.sizes) > 1:
        warnings.append(f"Training clips have {len(report.train.sizes)} sizes; all are brought to data.frame_shape.")
    slow = [clip.ref.name for clip in train if clip.slow]
    if slow:
        warnings.append(f"{_some(slow)} slow to read at random. `fomm dataset pack` makes every frame cost the same.")
    named = any("#" in clip.ref.name for clip in train)
    if config is None:
        if named:
            warnings.append(
                f"Names have identities ({report.train.identities} of them): train with data.id_sampling=true."
            )
        return
    _judge_config(report, train, named, config)


def _judge_config(report: CheckReport, train: list[Seen], named: bool, config: Config) -> None:
    sampling = config.data.id_sampling
    items = report.train.identities if sampling else report.train.clips
    repeats, batch = config.train.num_repeats, config.train.batch_size
    if items * repeats < batch:
        unit = "identities" if sampling else "clips"
        report.errors.append(
            f"An epoch has {items} {unit} x {repeats} repeats = {items * repeats} pairs, less than one batch of {batch}"
            ": lower train.batch_size or raise train.num_repeats."
        )
    if sampling and not named:
        report.warnings.append("data.id_sampling is on, but no name has a #: each clip is its own identity.")
    if named and not sampling:
        report.warnings.append(
            f"Names have identities ({report.train.identities} of them), but data.id_sampling is off: "
            "those with many clips are seen more often."
        )
    height, width = config.data.frame_shape
    cut = [clip.ref.name for clip in train if clip.size[0] * width != clip.size[1] * height]
    if cut:
        report.warnings.append(
            f"{_some(cut)} not of the shape {width}x{height}: sides are cut off, nothing is squashed."
        )
    small = [clip.ref.name for clip in train if clip.size[0] < height or clip.size[1] < width]
    if small:
        report.warnings.append(f"{_some(small)} smaller than {width}x{height}, and enlarged.")


def _some(names: list[str], noun: str = "clips") -> str:
    """ "3 clips (a, b, c) are", with three names at most."""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    singular = {"clips": "clip", "identities": "identity"}[noun]
    return f"{len(names)} {noun if len(names) > 1 else singular} ({shown}) {'are' if len(names) > 1 else 'is'}"

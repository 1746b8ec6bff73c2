"""The health check of weights that animate faces: real ones by their own clips, moved portraits by true answers, toons.

reconstruction  a real clip's first frame driven by all its frames, the first included, against those frames
puppets         the same on moved portraits of people held out of every training set
animation       one held-out person's portrait driven by another's: A's start plus B's change, against the drawn truth
details         held-out people whose heads are held, inside the boxes of eyes and mouth alone
toons, toon animation  the two numbers of `fomm eval toon`, so that one network serves both
spread          mean distance of two keypoints on the real clips, in units of [-1, 1]

All but the last are L1 over that of copying the source; clips weigh alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fomm_cli import device as devices
from fomm_cli.data.clips import ClipRef, find_clip
from fomm_cli.errors import FommError
from fomm_cli.evaluate import toon
from fomm_cli.evaluate.methods import Copy, Method, Mode, methods
from fomm_cli.evaluate.metrics import spread
from fomm_cli.evaluate.setup import Say, described
from fomm_cli.evaluate.statistics import mean, ratio
from fomm_cli.evaluate.testset import find
from fomm_cli.evaluate.toon import Question, error, ratio_row, spread_row
from fomm_cli.media.image import fit
from fomm_cli.model.pixels import to_tensor

TARGETS = {
    "reconstruction": 0.55,
    "puppets": 0.30,
    "animation": 0.55,
    "details": 0.60,
    "toons": 0.40,
    "toon animation": 0.56,
    "spread": 0.3,
}
"""What published weights for faces reach: ratios at most, spread at least; and no real clip above 1."""

PUPPETS = ("puppets", "animation", "details")
BATCH = 16

Progress = Callable[[int, int], None]


class Asked(NamedTuple):
    """One clip's question: of which row, called what, and how to drive."""

    kind: str
    name: str
    mode: Mode
    ask: Callable[[int, torch.device], Question]


def questions(data: Path, puppets: Path | None, limit: int = 0) -> list[Asked]:
    """The real clips of a set (its test part), and what `fomm dataset synth portraits --pairs` drew.

    limit  of each kind; 0 = all
    """
    part = "test" if (data / "test").is_dir() else "all"
    found = [_clip("reconstruction", ref) for ref in find(data, part=part).clips[: limit or None]]
    if puppets is not None:
        strips = sorted((puppets / "test").glob("*#[01].png"))
        boxes = _boxes(puppets / "test-boxes.json")
        moving = [_clip("puppets", _ref(path)) for path in strips if path.stem.endswith("#0")]
        held = [_clip("details", _ref(path), boxes[path.stem]) for path in strips if path.stem in boxes]
        pairs = [_pair(folder) for folder in sorted((puppets / "pairs").glob("*")) if (folder / "source.png").is_file()]
        for kind, asked in zip(PUPPETS, (moving, pairs, held), strict=True):
            if not asked:
                raise FommError(
                    f"{puppets} holds nothing to measure {kind} with.",
                    "Draw it: fomm dataset synth portraits --portraits DIR --out ANSWERS --clips 0 --test 64 --pairs",
                )
            found += asked[: limit or None]
    return found


def _ref(path: Path) -> ClipRef:
    ref = find_clip(path)
    if ref is None:
        raise FommError(f"{path} is no clip.", "Draw the set again into another folder.")
    return ref


def _frames(ref: ClipRef, side: int, device: torch.device) -> torch.Tensor:
    clip = ref.open()
    try:
        return to_tensor(np.stack([fit(frame, (side, side)) for frame in clip]), device)
    finally:
        clip.close()


def _clip(kind: str, ref: ClipRef, boxes: list[Any] | None = None) -> Asked:
    """The first frame drives too, as in the published evaluation."""

    def ask(side: int, device: torch.device) -> Question:
        frames = _frames(ref, side, device)
        area = None
        if boxes is not None:
            area = _area(boxes, len(frames), side, ref).to(device)
        return Question(frames[:1], frames[:1], frames, frames, area)

    return Asked(kind, ref.name, "reconstruction", ask)


def _pair(folder: Path) -> Asked:
    def ask(side: int, device: torch.device) -> Question:
        source, driving, truth = (
            _frames(_ref(folder / f"{name}.png"), side, device) for name in ("source", "driving", "relative")
        )
        return Question(source[:1], driving[:1], driving[1:], truth[1:], None)

    return Asked("animation", folder.name, "relative", ask)


def _boxes(path: Path) -> dict[str, list[Any]]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["boxes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FommError(
            f"{path} does not list boxes of eyes and mouths.",
            "`fomm dataset synth portraits` writes it beside test/.",
        ) from error


def _area(boxes: list[Any], frames: int, side: int, ref: ClipRef) -> torch.Tensor:
    """(T, 1, S, S): one inside the boxes, which are in pixels of the strip."""
    clip = ref.open()
    scale = side / clip.size[0]
    clip.close()
    area = torch.zeros(frames, 1, side, side)
    for frame, parts in enumerate(boxes[:frames]):
        for left, top, right, bottom in parts:
            rows = slice(math.floor(top * scale), math.ceil(bottom * scale))
            area[frame, :, rows, math.floor(left * scale) : math.ceil(right * scale)] = 1
    return area


class Answer(NamedTuple):
    """A method on one question: its error, that of copying, and the spread of its keypoints where it has them."""

    kind: str
    name: str
    l1: float
    copy: float
    spread: float | None


def answer(method: Method, asked: Asked, side: int, device: torch.device, adapt_scale: bool = True) -> Answer:
    question = asked.ask(side, device)
    perform = method.start(question.source, question.initial, asked.mode, adapt_scale)
    takes = [perform(part) for part in question.driving.split(BATCH)]
    made = torch.cat([take.prediction for take in takes])
    seen = [take.keypoints for take in takes if take.keypoints is not None]
    points = torch.cat(seen) if seen else None
    copied = Copy().start(question.source, question.initial, "absolute")(question.driving).prediction
    return Answer(
        asked.kind,
        asked.name,
        error(made, question.truth, question.area),
        error(copied, question.truth, question.area),
        float(spread(points).mean()) if points is not None and points.shape[1] > 1 else None,
    )


def check(
    method: Method,
    asked: list[Asked],
    identities: int = 50,
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The table of one method: row -> number, 95 % interval over clips, target and whether it is reached.

    identities  toons, as of `fomm eval toon`; 0 leaves them out
    """
    resolved = torch.device(device)
    side = min(method.size) if method.size else 128
    answers = []
    for done, one in enumerate(asked, start=1):
        answers.append(answer(method, one, side, resolved))
        if progress is not None:
            progress(done, len(asked) + identities)
    found = {kind: _row([a for a in answers if a.kind == kind], seed) for kind in dict.fromkeys(a.kind for a in asked)}
    if identities:

        def drawn(done: int) -> None:
            if progress is not None:
                progress(len(asked) + done, len(asked) + identities)

        toons = toon.check(method, identities, size=side, seed=seed, device=resolved, progress=drawn)
        for kind, source in (("toons", "reconstruction"), ("toon animation", "animation")):
            found[kind] = ratio_row(toons.ratio[source], toons.l1[source], toons.copy[source], TARGETS[kind])
    spreads = [a.spread for a in answers if a.kind == "reconstruction" and a.spread is not None]
    found["spread"] = spread_row(mean(spreads, seed), TARGETS["spread"])
    return found


def _row(answers: list[Answer], seed: int) -> dict[str, Any]:
    """One kind of question; of real clips also how many, and how many a still picture would have served better."""
    kind = answers[0].kind
    ours, floor = [a.l1 for a in answers], [a.copy for a in answers]
    row = ratio_row(ratio(ours, floor, seed), mean(ours, seed), mean(floor, seed), TARGETS[kind])
    row["clips"] = {a.name: {"l1": a.l1, "copy_l1": a.copy} for a in answers}
    if kind == "reconstruction":
        row["worse"] = sum(a.l1 > a.copy for a in answers)
        row["reached"] = row["reached"] and not row["worse"]
    return row


def check_weights(
    data: Path,
    weights: Sequence[str],
    puppets: Path | None = None,
    identities: int = 50,
    limit: int = 0,
    device: str = "auto",
    seed: int = 0,
    say: Say = lambda text: None,
    step: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, Any]:
    """`check` of several weights by name or path, as one document: name -> the rows under `weights`."""
    resolved = devices.resolve(device)
    say(f"Device: {devices.describe(resolved)}")
    asked = questions(data, puppets, limit)
    checked = methods(list(weights), [], str(resolved))
    found = {}
    for method in checked:

        def one_more(done: int, total: int, name: str = method.name) -> None:
            step(name, done, total)

        found[method.name] = check(method, asked, identities, resolved, seed, one_more)
    return {
        "data": str(data),
        "puppets": str(puppets) if puppets is not None else None,
        "identities": identities,
        "seed": seed,
        "methods": described(checked, weights),
        "versions": devices.versions(),
        "device": resolved.type,
        "targets": TARGETS,
        "weights": found,
    }

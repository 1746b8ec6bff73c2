"""The health check of weights that animate toons: four numbers on people nobody trained on.

It says in a minute whether weights reach their targets; `tasks.ToonAnimation` compares methods on the same people.
The procedural set can draw the true answer to any question of motion transfer, so nothing here depends on a detector:

reconstruction  a person's first frame driven by the person's other frames, against those frames
animation       person A at rest in one pose, driven by person B who starts in another: A's start plus B's change since
                B's start, against the drawn truth; what a copied source would score is the floor
details         reconstruction with shift, scale and roll of the head held still, inside the eye and mouth boxes alone:
                a network that only moves heads scores 1
spread          mean distance between two keypoints, in units of [-1, 1]: collapsed keypoints see nothing
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fomm_cli import device as devices
from fomm_cli.data.toon import Identity, Motion, boxes, draw, relative, sample_identity, sample_motion, still_head
from fomm_cli.evaluate.methods import Copy, Method, Mode, methods
from fomm_cli.evaluate.metrics import absolute_error, exact, spread
from fomm_cli.evaluate.setup import Say, described
from fomm_cli.evaluate.statistics import Estimate, mean, ratio

RATE = 3.0
"""Frames a second: a handful of frames then spans seconds, and every pose differs from the one before."""

TARGETS = {"reconstruction": 0.35, "animation": 0.6, "details": 0.6, "spread": 0.3}
"""What weights fit to be published reach: ratios at most, spread at least."""


class Question(NamedTuple):
    """One clip to be answered.

    source   (1, 3, S, S)
    initial  (1, 3, S, S): the driving frame that stands for the source's pose
    driving  (T, 3, S, S)
    truth    (T, 3, S, S)
    area     (T, 1, S, S): where errors count; None everywhere
    """

    source: Tensor
    initial: Tensor
    driving: Tensor
    truth: Tensor
    area: Tensor | None


class People:
    """Held-out people and how they move; number `i` is the same whatever the count.

    A's clip has motion `i` and B's motion `OTHERS + i`, so that their start poses have nothing to do with each other.
    """

    OTHERS = 2**20

    def __init__(self, frames: int, size: int, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.frames, self.size, self.seed, self.device = frames, size, seed, device

    def identity(self, i: int) -> Identity:
        return sample_identity(self.seed, 1, start=i, held_out=True)

    def motion(self, i: int) -> Motion:
        """One frame more than is measured: the first is the source."""
        return sample_motion(self.seed, self.frames + 1, start=i, rate=RATE, held_out=True)[0]

    def draw(self, identity: Identity, motion: Motion) -> Tensor:
        return draw(identity, motion, self.size, self.device)

    def reconstruction(self, i: int) -> Question:
        clip = self.draw(self.identity(i), self.motion(i))
        return Question(clip[:1], clip[:1], clip[1:], clip[1:], None)

    def animation(self, i: int, absolute: bool = False) -> Question:
        """B is the person after A; in absolute mode A takes B's poses as they are."""
        start, moving = self.motion(i), self.motion(self.OTHERS + i)
        answer = moving if absolute else relative(start[0], moving)
        source = self.draw(self.identity(i), start[:1])
        driving = self.draw(self.identity(i + self.OTHERS), moving)
        truth = self.draw(self.identity(i), answer[1:])
        return Question(source, driving[:1], driving[1:], truth, None)

    def details(self, i: int) -> Question:
        identity, motion = self.identity(i), still_head(self.motion(i))
        clip = self.draw(identity, motion)
        area = torch.zeros(len(clip), 1, self.size, self.size)
        for frame, parts in enumerate(boxes(identity, motion, self.size).tolist()):
            for left, top, right, bottom in parts:
                area[frame, :, top:bottom, left:right] = 1
        return Question(clip[:1], clip[:1], clip[1:], clip[1:], area[1:].to(self.device))


def error(prediction: Tensor, truth: Tensor, area: Tensor | None) -> float:
    """Mean absolute difference over all frames, or inside their areas."""
    if area is None:
        return float(absolute_error(prediction, truth).mean())
    inside = exact((prediction - truth).abs() * area)
    return float(inside.sum() / (exact(area).sum() * prediction.shape[1]))


class Measured(NamedTuple):
    """One method on the whole check.

    l1      kind of question -> mean L1
    copy    the same for copying the source
    ratio   kind of question -> the method's error over that of copying
    spread  of the driving keypoints in the reconstruction; NOTHING for methods without keypoints
    """

    name: str
    l1: dict[str, Estimate]
    copy: dict[str, Estimate]
    ratio: dict[str, Estimate]
    spread: Estimate


KINDS = ("reconstruction", "animation", "details")


def check(
    method: Method,
    identities: int = 200,
    frames: int = 8,
    size: int = 128,
    seed: int = 0,
    adapt_scale: bool = True,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """Measure one method on `identities` held-out people, `frames` driving frames each, the source not counted."""
    ours: dict[str, list[float]] = {kind: [] for kind in KINDS}
    floor: dict[str, list[float]] = {kind: [] for kind in KINDS}
    spreads: list[float] = []
    people = People(frames, size, seed, device)
    for i in range(identities):
        for kind, question in _questions(people, i):
            mode: Mode = "relative" if kind == "animation" else "reconstruction"
            take = method.start(question.source, question.initial, mode, adapt_scale)(question.driving)
            ours[kind].append(error(take.prediction, question.truth, question.area))
            copied = Copy().start(question.source, question.initial, "absolute")(question.driving)
            floor[kind].append(error(copied.prediction, question.truth, question.area))
            if kind == "reconstruction" and take.keypoints is not None and take.keypoints.shape[1] > 1:
                spreads.append(float(spread(take.keypoints).mean()))
        if progress is not None:
            progress(i + 1)
    return Measured(
        method.name,
        {kind: mean(ours[kind], seed) for kind in KINDS},
        {kind: mean(floor[kind], seed) for kind in KINDS},
        {kind: ratio(ours[kind], floor[kind], seed) for kind in KINDS},
        mean(spreads, seed),
    )


def _questions(people: People, i: int) -> Iterator[tuple[str, Question]]:
    yield "reconstruction", people.reconstruction(i)
    yield "animation", people.animation(i)
    yield "details", people.details(i)


def summary(measured: Measured) -> dict[str, Any]:
    """The four numbers with their intervals, targets and whether each is reached."""
    found = {
        kind: ratio_row(measured.ratio[kind], measured.l1[kind], measured.copy[kind], TARGETS[kind]) for kind in KINDS
    }
    return {**found, "spread": spread_row(measured.spread, TARGETS["spread"])}


def ratio_row(estimate: Estimate, l1: Estimate, copy: Estimate, at_most: float) -> dict[str, Any]:
    """One line of a health check: an error over that of copying."""
    return {
        "l1": l1.value,
        "copy_l1": copy.value,
        "ratio": estimate.value,
        "interval": [estimate.low, estimate.high],
        "at_most": at_most,
        "reached": estimate.value is not None and estimate.value <= at_most,
    }


def spread_row(estimate: Estimate, at_least: float) -> dict[str, Any]:
    """Another: how far keypoints lie apart."""
    return {
        "value": estimate.value,
        "interval": [estimate.low, estimate.high],
        "at_least": at_least,
        "reached": estimate.value is not None and estimate.value >= at_least,
    }


def check_weights(
    weights: Sequence[str],
    identities: int = 200,
    frames: int = 8,
    size: int | None = None,
    seed: int = 0,
    adapt_scale: bool = True,
    device: str = "auto",
    say: Say = lambda text: None,
    step: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, Any]:
    """`check` of several weights by name or path, as one document: name -> the four numbers under `weights`.

    size  side of the frames; None = each weights' own
    """
    resolved = devices.resolve(device)
    say(f"Device: {devices.describe(resolved)}")
    if warned := devices.warning(resolved):
        say(f"Warning: {warned}")
    checked = methods(list(weights), [], str(resolved))
    sides = {method.name: size or (min(method.size) if method.size else 128) for method in checked}
    found = {}
    for method in checked:

        def one_more(done: int, name: str = method.name) -> None:
            step(name, done, identities)

        side = sides[method.name]
        found[method.name] = summary(check(method, identities, frames, side, seed, adapt_scale, resolved, one_more))
    return {
        "identities": identities,
        "frames": frames,
        "seed": seed,
        "adapt_scale": adapt_scale,
        "size": sides,
        "methods": described(checked, weights),
        "versions": devices.versions(),
        "device": resolved.type,
        "targets": TARGETS,
        "weights": found,
    }

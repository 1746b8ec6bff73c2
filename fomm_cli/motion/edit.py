"""Motion made from motion: cut, turned round, stretched, mirrored, joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from fomm_cli.errors import FommError, nearest
from fomm_cli.motion.controls import Controls, steer
from fomm_cli.motion.loops import smoothstep
from fomm_cli.motion.motion import Motion

CONTROLS = {
    control.name.replace("_", "-"): str if isinstance(control.default, str) else float for control in fields(Controls)
}
"""Operations that are controls of `fomm animate` as well, by name, and what their values are."""

MIRROR_LIMIT = 0.15
"""Points that a mirror puts further from their partners than this have none."""


def edit(motion: Motion, operations: Sequence[str]) -> tuple[Motion, list[str]]:
    """The motion after `operations`, such as "trim=1:4" or "reverse", in their order; and warnings.

    Controls that stand side by side act together, in the order that `Controls` tells.
    """
    steps = [parse(text) for text in operations]
    warnings: list[str] = []
    waiting: dict[str, Any] = {}

    def settle() -> None:
        nonlocal motion
        steered = steer(motion, Controls(**waiting))
        motion = steered.motion
        warnings.extend(steered.warnings)
        waiting.clear()

    for name, value in steps:
        key = name.replace("-", "_")
        if waiting and (name not in CONTROLS or key in waiting):
            settle()
        if name in CONTROLS:
            waiting[key] = value
        else:
            motion = OPERATIONS[name][1](motion, value)
    settle()
    return motion, warnings


def parse(text: str) -> tuple[str, Any]:
    """One operation as its name and value. Raises FommError for an unknown name or a value of the wrong form."""
    name, _, value = text.partition("=")
    known = [*OPERATIONS, *CONTROLS]
    if name not in known:
        raise FommError(f"There is no operation {name!r}.", nearest(name, known))
    if name in CONTROLS:
        try:
            parsed = CONTROLS[name](value)
        except ValueError:
            raise FommError(f"{text!r} is no operation.", f"Write {name}=NUMBER.") from None
        given: dict[str, Any] = {name.replace("-", "_"): parsed}
        Controls(**given)  # refuses what is out of range
        return name, parsed
    try:
        return name, OPERATIONS[name][0](value)
    except (ValueError, ZeroDivisionError):
        form = FORMS[name]
        raise FommError(f"{text!r} is no operation.", f"Write {name}{'=' + form if form else ''}.") from None


# ------------------------------------------------------------------------------------------------------------- time


def trim(motion: Motion, span: tuple[str, str]) -> Motion:
    """From one time, in seconds, to another that is left out; `f30` is frame 30. Nothing = the begin, the end."""
    first, last = (_row(motion, text) for text in span)
    return motion[first : len(motion) if last is None else last]


def reverse(motion: Motion, _: None = None) -> Motion:
    """Backwards."""
    return motion.take(range(len(motion) - 1, -1, -1), [motion.times[-1] - time for time in reversed(motion.times)])


def speed(motion: Motion, factor: Fraction) -> Motion:
    """So many times as fast, at the same rate."""
    return _seen_at(motion, [time / factor for time in motion.times], motion.rate)


def resample(motion: Motion, rate: Fraction) -> Motion:
    """At another rate, evenly."""
    return _seen_at(motion, list(motion.times), rate)


def repeat(motion: Motion, times: int) -> Motion:
    """So many times over."""
    rows = list(range(len(motion))) * times
    starts = [turn * motion.duration - motion.times[0] for turn in range(times)]
    return motion.take(rows, [start + time for start in starts for time in motion.times])


def hold(motion: Motion, seconds: Fraction) -> Motion:
    """The last pose for so long after the end."""
    more = round(seconds * motion.rate)
    times = [motion.times[-1] + (n + 1) / motion.rate for n in range(more)]
    return motion.take([*range(len(motion)), *[len(motion) - 1] * more], [*motion.times, *times])


def mirror(motion: Motion, _: None = None) -> Motion:
    """As in a mirror, about the anchor's pose; the points' partners were measured when the motion was extracted."""
    if motion.partner is None:
        raise FommError(
            "This motion does not tell which points are left and right.", "`fomm motion extract` measures it."
        )
    paired = all(motion.partner[other] == point for point, other in enumerate(motion.partner))
    if motion.residual > MIRROR_LIMIT or not paired:
        raise FommError(
            f"This detector's points have no left and right: mirrored, they lie {motion.residual:.2f} apart.",
            f"Up to {MIRROR_LIMIT} could be mirrored. Extract the mirrored clip instead.",
        )
    space = motion.space()
    mirrored = space.mirrored(space.channels(motion.poses), list(motion.partner))
    return replace(motion, poses=space.poses(mirrored))


def _row(motion: Motion, text: str) -> int | None:
    if not text:
        return None
    if text.startswith("f"):
        return int(text[1:])
    start = motion.times[0]
    return sum(time - start < Fraction(text) for time in motion.times)


def _seen_at(motion: Motion, times: list[Fraction], rate: Fraction) -> Motion:
    """The motion whose frames stand at `times`, looked at evenly at `rate`; linear in the relative space."""
    start, space = times[0], motion.space()
    count = int((times[-1] - start) * rate) + 1
    grid = [n / rate for n in range(count)]
    rows = _between(space.channels(motion.poses), [time - start for time in times], grid)
    moved = motion.take([0] * count, grid)
    return replace(moved, poses=space.poses(rows), rate=rate, time_base=1 / rate, variable_rate=False, anchor=None)


def at_times(motion: Motion, times: Sequence[Fraction], loop: bool = False) -> Motion:
    """The motion as it is at `times`, linear in the relative space; after its end it stands still, or begins anew."""
    start, space = motion.times[0], motion.space()
    wanted = [(time - times[0]) % motion.duration if loop else time - times[0] for time in times]
    rows = _between(space.channels(motion.poses), [time - start for time in motion.times], wanted)
    return replace(motion.take([0] * len(times), times), poses=space.poses(rows), anchor=None)


def _between(channels: np.ndarray, times: Sequence[Fraction], wanted: Sequence[Fraction]) -> np.ndarray:
    """Channels (T, C) at `times`, at other times; before the first and after the last they stand still."""
    old, new = (np.array([float(time) for time in each]) for each in (times, wanted))
    after = np.clip(np.searchsorted(old, new, side="right"), 1, max(len(old) - 1, 1))
    if len(old) == 1:
        return channels[np.zeros(len(new), dtype=int)]
    share = np.clip((new - old[after - 1]) / (old[after] - old[after - 1]), 0, 1)[:, None]
    return channels[after - 1] * (1 - share) + channels[after] * share


# ---------------------------------------------------------------------------------------------------------- joining


def concat(first: Motion, second: Motion, fade: int = 8) -> Motion:
    """One after the other, the second from the pose where the first ends; `fade` frames lead over to its own."""
    check_pair(first, second)
    space = first.space()
    ours = space.channels(first.poses)
    theirs = second.space().channels(second.poses)
    fade = min(fade, len(second))
    rest = 1 - smoothstep(np.arange(1, fade + 1) / (fade + 1))
    theirs[:fade] += rest[:, None] * (ours[-1] - theirs[0])
    start = second.times[0] - first.times[0] - first.duration
    times = (*first.times, *(time - start for time in second.times))
    both = space.poses(np.concatenate([ours, theirs]))
    uneven = first.variable_rate or second.variable_rate or first.rate != second.rate
    return replace(first, poses=both, times=times, sound=None, variable_rate=uneven)


def blend(first: Motion, second: Motion, weight: float = 0.5) -> Motion:
    """Between two: 0 is the first, 1 the second at the first's times, whose end it holds if it is shorter."""
    check_pair(first, second)
    if not 0 <= weight <= 1:
        raise FommError(f"The weight {weight:g} is out of range.", "It goes from 0, the first, to 1, the second.")
    space = first.space()
    theirs = second.space().channels(second.poses)
    clocks = [[time - each.times[0] for time in each.times] for each in (second, first)]
    mixed = (1 - weight) * space.channels(first.poses) + weight * _between(theirs, *clocks)
    return replace(first, poses=space.poses(mixed))


def check_pair(first: Motion, second: Motion) -> None:
    """Refuse two motions whose points mean different things."""
    shapes = [[None if part is None else part.shape[1:] for part in each.poses] for each in (first, second)]
    told = [{name for name, part in each.poses._asdict().items() if part is not None} for each in (first, second)]
    if first.family == second.family and first.detector == second.detector and told[0] != told[1]:
        names = ", ".join(sorted(told[0] ^ told[1]))
        raise FommError(f"One of the two motions tells of {names}, the other does not.", "Extract both alike.")
    if first.family != second.family or shapes[0] != shapes[1] or first.detector != second.detector:
        raise FommError(
            "The two motions come from different detectors: point 3 of one is not point 3 of the other.",
            "Extract both with the same weights.",
        )


# -------------------------------------------------------------------------------------------------------- the table


def _span(text: str) -> tuple[str, str]:
    first, colon, last = text.partition(":")
    for each in (first, last):
        if each:
            int(each[1:]) if each.startswith("f") else _positive(each, zero=True)
    if not colon:
        raise ValueError(text)
    return first, last


def _positive(text: str, zero: bool = False) -> Fraction:
    from fomm_cli.media.sequence import parse_rate

    value = parse_rate(text)
    if value is None or not (value > 0 or zero) or value > 100_000:
        raise ValueError(text)
    return value


def _nothing(text: str) -> None:
    if text:
        raise ValueError(text)


def _count(text: str) -> int:
    if not 1 <= int(text) <= 1000:
        raise ValueError(text)
    return int(text)


OPERATIONS: dict[str, tuple[Callable[[str], Any], Callable[[Motion, Any], Motion]]] = {
    "trim": (_span, trim),
    "speed": (_positive, speed),
    "reverse": (_nothing, reverse),
    "mirror": (_nothing, mirror),
    "repeat": (_count, repeat),
    "resample": (_positive, resample),
    "hold": (_positive, hold),
}
FORMS = {
    "trim": "FROM:TO",
    "speed": "FACTOR",
    "reverse": "",
    "mirror": "",
    "repeat": "N",
    "resample": "FPS",
    "hold": "SECONDS",
}

"""How a motion is taken over: how much of it, of which part, how smooth. One spelling here, in `fomm animate`,
`fomm motion edit` and Python."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fomm_cli.errors import FommError, nearest
from fomm_cli.model.families import family_of
from fomm_cli.model.relative import Reach
from fomm_cli.motion import loops
from fomm_cli.motion.motion import FAR, Motion
from fomm_cli.motion.smooth import smoothed

LOCKS = ["none", "head", "place", "size", "turn"]
CLAMPS = ["auto", "off"]
LOOPS = ["none", "cut", "pingpong"]

STRONG = 1.5
"""Movements larger than this times their size begin to tear hair and cheeks."""


@dataclass(frozen=True)
class Controls:
    """What is done to a motion before a source takes it, in the order smooth, lock, head and expression, motion_scale,
    clamp, loop. As they stand they do nothing, to the last bit.

    motion_scale  0 to 3, of all movement since the anchor
    head          0 to 3, of the movement of the whole, the similarity of all points; 0 = a still head
    expression    0 to 3, of what is left of it; 0 = the head alone
    lock          parts of the head's movement that stay the anchor's: head (all), place, size, turn; or several,
                  with commas
    smooth        0 to 1: jitter is averaged away
    clamp         auto: movements are kept from tearing once motion_scale, head or expression is not 1; off
    loop          cut: the stretch that closes best; pingpong: forth and back
    Raises FommError for what is out of range.
    """

    motion_scale: float = 1.0
    head: float = 1.0
    expression: float = 1.0
    lock: str = "none"
    smooth: float = 0.0
    clamp: str = "auto"
    loop: str = "none"

    def __post_init__(self) -> None:
        for name, limit in (("motion_scale", 3), ("head", 3), ("expression", 3), ("smooth", 1)):
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise FommError(f"{name.replace('_', '-')} {value:g} is out of range.", f"It goes from 0 to {limit}.")
        words = [("lock", word, LOCKS) for word in self.lock.split(",")]
        for name, word, known in (*words, ("clamp", self.clamp, CLAMPS), ("loop", self.loop, LOOPS)):
            if word not in known:
                raise FommError(f"There is no {name} {word!r}.", nearest(word, known))

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for."""
        return replace(self, clamp="auto") == Controls()

    @property
    def strengths(self) -> tuple[float, float, float]:
        return self.motion_scale, self.head, self.expression


@dataclass
class Steered:
    """A motion after its controls.

    anchor    the anchor's pose, which smoothing may have moved; a batch of one
    clamped   how many frames were kept from tearing
    loop      what of it the loop shows; None without one
    loop_jump the step over the loop's end in steps of the usual size; None without a loop
    """

    motion: Motion
    anchor: Any
    clamped: int = 0
    loop: loops.Loop | None = None
    loop_jump: float | None = None
    warnings: list[str] = field(default_factory=list)


def steer(motion: Motion, controls: Controls, anchor: int | None = None) -> Steered:
    """`motion` under these controls, about one of its frames: `anchor`, else the one it was read with, else the first.

    The times stay, but for a loop. Raises FommError where the motion's family, or a motion without the shape of a
    head, cannot do what is asked for.
    """
    row = anchor if anchor is not None else motion.anchor or 0
    steered = Steered(motion, motion.rest(row))
    if controls.idle:
        return steered
    space = motion.space(row)
    channels = space.channels(motion.poses)
    if controls.smooth:
        channels = smoothed(channels, motion.seconds, controls.smooth, cuts(motion))
        if not motion.relative:
            poses = space.poses(channels)
            space = family_of(motion.family).space(space.poses(channels[row : row + 1]))
            channels = space.channels(poses)
    if controls.lock != "none" or (controls.head, controls.expression) != (1, 1):
        if motion.relative:
            raise FommError(
                "This motion was extracted with --private: it does not tell the head from the rest.",
                "Leave out head, expression and lock, or extract it again without --private.",
            )
        parted = space.split(channels)
        for part in controls.lock.split(","):
            parted.head[:, space.parts.get(part, slice(None) if part == "head" else slice(0))] = 0
        channels = space.join(parted.head * controls.head, parted.rest * controls.expression)
        if parted.explained < 0.2:
            steered.warnings.append(
                f"The whole moves little ({parted.explained:.0%} of all movement): head and lock have little to hold."
            )
    channels = channels * controls.motion_scale
    if controls.clamp == "auto" and controls.strengths != (1, 1, 1):
        limited = space.limited(channels, motion.reach or Reach())
        steered.clamped = int((limited != channels).any(axis=1).sum())
        channels = limited
    steered.motion, steered.anchor = replace(motion, poses=space.poses(channels)), space.anchor
    _warn(steered, controls)
    if controls.loop != "none":
        steered.loop = loops.cut(steered.motion) if controls.loop == "cut" else loops.pingpong(steered.motion)
        steered.motion = steered.loop.motion
        steered.loop_jump = loops.jump(steered.motion)
    return steered


def cuts(motion: Motion) -> list[int]:
    """Frames that do not go on from the one before."""
    return (1 + np.flatnonzero(motion.steps() > FAR)).tolist()


def _warn(steered: Steered, controls: Controls) -> None:
    if max(controls.strengths) > STRONG:
        steered.warnings.append(f"Movements of more than {STRONG} times their size tear hair and cheeks.")
    if steered.clamped > 0.05 * len(steered.motion):
        steered.warnings.append(
            f"{steered.clamped} of {len(steered.motion)} frames were kept from tearing: ask for less, or --clamp off."
        )

"""One part of a picture and the motion it takes, made ready: anchored, steered, and on the clock of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fomm_cli.animate.driving import Driving
from fomm_cli.animate.heads import head_share, unlike
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import Progress, Settings, parse_anchor
from fomm_cli.errors import FommError, counted
from fomm_cli.model.pose import pick
from fomm_cli.motion.controls import Steered, steer
from fomm_cli.motion.edit import at_times
from fomm_cli.motion.motion import CLOSE, FAR, Anchor, Motion, check_fit


@dataclass
class Role:
    """What a scene plays.

    seen      the motion as it was detected
    anchor    the frame that stands for the source's pose; None where nothing is relative
    steered   the motion that is rendered
    """

    scene: Scene
    driving: Driving
    seen: Motion
    anchor: Anchor | None
    steered: Steered
    settings: Settings
    warnings: list[str]

    @property
    def heads(self) -> tuple[float | None, float | None]:
        """How much of the source and of the clip the head is; None where none was seen."""
        return head_share(self.scene.head, self.scene.box), self.driving.head

    def moved(self, span: slice) -> tuple[Any, Any]:
        """The poses of some frames, and as the source takes them."""
        initial = self.steered.anchor
        if initial is not None and len(self.seen) == 1:
            initial = self.scene.family.resting(initial)
        poses = pick(self.steered.motion.poses, span)
        return poses, self.scene.transfer(poses, initial, *self.settings.carrying)


def cast(
    scenes: Sequence[Scene], driving: Driving, others: Mapping[int, Driving], settings: Settings, progress: Progress
) -> list[Role]:
    """The roles of all scenes, on the clock of `driving`; `others` drive some of them, by number."""
    lead = driving.motion(scenes[0].runner, progress)
    for number in others:
        if number >= len(scenes):
            raise FommError(
                f"There is no face {number} to drive: {counted(len(scenes), 'face')} animated.",
                "--drive counts them from 0, in the order of --face.",
            )
    roles: list[Role] = []
    for number, scene in enumerate(scenes):
        own = others.get(number, driving)
        motion = own.motion(scene.runner, progress)
        engine = scene.runner.engine
        warnings = check_fit(motion, engine.family.name, scene.pose, engine.detector, settings.force_motion)
        anchor, steered = steer_for(scene.pose, motion, settings)
        warnings += far(anchor)
        which = f" of face {number}" if len(scenes) > 1 else ""
        warnings += unlike(head_share(scene.head, scene.box), own.head, which)
        warnings += steered.warnings if own is driving else [*own.warnings, *steered.warnings]
        roles.append(Role(scene, own, motion, anchor, steered, settings, warnings))
    if not others:
        return roles
    return _fitted(roles, lead, settings.paste.extend if settings.paste else "hold")


def _fitted(roles: Sequence[Role], lead: Motion, extend: str) -> list[Role]:
    """The roles on the clock of another motion.

    extend   what those do that are over before it is: hold their last pose, loop, or stop it all
    """
    end = lead.times[0] + lead.duration
    if extend == "stop":
        end = min(end, lead.times[0] + min(role.steered.motion.duration for role in roles))
    times = [time for time in lead.times if time < end]
    last = min(lead.lasts(len(times) - 1), end - times[-1])
    fitted = []
    for role in roles:
        own = role.steered.motion
        moved = own[: len(times)] if own.times == lead.times else at_times(own, times, extend == "loop")
        moved = replace(moved, times=tuple(times), rate=lead.rate, variable_rate=lead.variable_rate, last=last)
        fitted.append(replace(role, steered=replace(role.steered, motion=moved)))
    return fitted


def steer_for(pose: Any, motion: Motion, settings: Settings) -> tuple[Anchor | None, Steered]:
    """The motion as a source of this pose takes it, and its frame that stands for the pose, None if none does."""
    if settings.carrying[0] != "relative":
        if motion.relative:
            raise FommError("This motion was extracted with --private: it is relative.", "Use --mode relative.")
        if settings.controls.idle:
            return None, Steered(motion, None)
    anchor = motion.anchored(pose, parse_anchor(settings.anchor))
    return anchor, steer(motion, settings.controls, anchor.index)


def far(anchor: Anchor | None) -> list[str]:
    """A warning where the frame that stands for the source is far from its pose."""
    if anchor is None or anchor.distance is None or anchor.distance <= FAR:
        return []
    return [
        f"The nearest driving frame ({anchor.index}) is far from the source's pose (distance {anchor.distance:.2f}, "
        f"close is below {CLOSE}): expect distortions. Choose a source that looks the same way, or crop both alike "
        "(--crop-source, --crop-driving)."
    ]

"""A source that follows a camera: frame in, frame out, nothing kept but the anchor and a filter's last values."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from fomm_cli.animate.openness import openness_finder
from fomm_cli.animate.scene import Scene
from fomm_cli.errors import FommError
from fomm_cli.media.badge import badged
from fomm_cli.media.image import Frame
from fomm_cli.model.families import family_of
from fomm_cli.model.pose import joined
from fomm_cli.motion.controls import Controls, steer
from fomm_cli.motion.motion import Motion
from fomm_cli.motion.smooth import OneEuro


class Live:
    """One source, driven by frames as they come in.

    controls   as of a clip, but `smooth` is causal (a One Euro filter) and there is nothing to loop
    badge      the corner that is marked in every frame, None = none
    The first frame is the anchor, the one that stands for the source's pose, until `recentre` makes it the next.
    """

    def __init__(
        self,
        scene: Scene,
        controls: Controls,
        mode: str = "relative",
        adapt_scale: bool = True,
        badge: str | None = None,
    ) -> None:
        scene.runner.engine.family.check_mode(mode)
        self.scene, self.mode, self.adapt_scale, self.badge = scene, mode, adapt_scale, badge
        self._anchor: Any = None
        self._look = openness_finder(None) if scene.family.follows_openness else None
        self._openness: Any = None if self._look is None else scene.pose.openness  # until a face is seen
        self._search, self._end, self._nearest = 0.0, 0.0, math.inf
        self.steer(controls)

    def steer(self, controls: Controls) -> None:
        """Other controls from the next frame on."""
        if controls.loop != "none":
            raise FommError("What is live does not loop.", "Leave out loop.")
        self._wanted = controls
        self._rest = replace(controls, smooth=0.0)
        self._filter = OneEuro(controls.smooth) if controls.smooth else None

    def recentre(self, seconds: float = 0.0) -> None:
        """The next frame looks as the source does, until for so many seconds one comes that is nearer to its pose."""
        self._anchor, self._search = None, seconds

    def __call__(self, frame: Frame, seconds: float) -> Frame:
        """The source as the frame has it; `seconds` is the frame's time, later than that of the one before."""
        pose = self.scene.runner.detect([frame])
        if self._look is not None:
            seen = self._look(frame)
            self._openness = self._openness if seen is None else seen[None]
            pose = self.scene.family.opened(pose, self._openness)
        if self._stands(pose, seconds):
            self._anchor = pose
            self.steer(self._wanted)  # the filter's last values are in the space of the anchor before
        pose = self._steered(pose, seconds)
        made = next(self.scene.render(self.scene.transfer(pose, self._anchor, self.mode, self.adapt_scale)))
        return badged(made, self.badge) if self.badge else made

    def _stands(self, pose: Any, seconds: float) -> bool:
        """Whether this pose stands for the source's from now on: the first, and while one is sought any nearer one."""
        first = self._anchor is None
        if first:
            self._end, self._nearest = seconds + self._search, math.inf
        if not self._search or seconds > self._end:
            return first
        distance = float(self.scene.family.distance(self.scene.pose, pose)[0])
        nearer, self._nearest = distance < self._nearest, min(distance, self._nearest)
        return nearer

    def _steered(self, pose: Any, seconds: float) -> Any:
        engine = self.scene.runner.engine
        if self._filter is not None:
            space = family_of(engine.family.name).space(self._anchor)
            pose = space.poses(self._filter(space.channels(pose), seconds))
        if self._rest.idle:
            return pose
        both = Motion(
            joined([self._anchor, pose]),
            (Fraction(0), Fraction(1)),
            Fraction(1),
            engine.size,
            engine.family.name,
            reach=engine.usual.reach,
        )
        return steer(both, self._rest, 0).motion.at(1)

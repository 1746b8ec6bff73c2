"""LivePortrait as the house asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.model.family import Family
from fomm_cli.model.live_portrait import pose
from fomm_cli.model.live_portrait.config import LivePortraitConfig, PortraitOptions
from fomm_cli.model.live_portrait.space import HeadSpace
from fomm_cli.model.pose import pick
from fomm_cli.model.published import Published
from fomm_cli.model.relative import Space

if TYPE_CHECKING:
    from fomm_cli.model.live_portrait.network import LivePortraitModel


class LivePortrait(Family):
    """Heads: canonical keypoints turned, bent by an expression, scaled and moved."""

    name = "live_portrait"
    title = "LivePortrait"
    Config = LivePortraitConfig
    Pose = pose.HeadPose
    parts = ("appearance", "keypoint_detector", "dense_motion", "generator", "stitching", "lip", "eyes")
    always_scales = True
    Options = PortraitOptions
    options: PortraitOptions
    takes_clips = True
    beside = ("openness",)
    meets_border = True
    crop = "portrait"
    untrainable = "LivePortrait is here to animate, not to be trained: its makers publish neither training nor data."

    def transfer(
        self,
        source: Any,
        driving: Any,
        initial: Any = None,
        mode: str = "relative",
        adapt_scale: bool = True,
    ) -> Any:
        self.check_mode(mode)
        return pose.transfer(source, driving, initial, mode, self.options.region, told=self._told)

    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        return self.transfer(source, driving, initial)

    def redirect(self, source: Any, driving: Any, initial: Any, mode: str) -> Any:
        self.check_mode(mode)
        smoothing = self.options.smoothing
        if len(driving.value) < len(source.value):  # a picture: there is no time in it
            driving, smoothing = pick(driving, [0] * len(source.value)), 0.0
        moved = pose.transfer(source, driving, initial, mode, self.options.region, True, smoothing, self._told)
        if self.options.rest not in ("eyes", "all"):
            return moved
        held = np.full((len(moved.value), 3), pose.steady(source.openness), dtype=np.float32)
        return moved._replace(openness=held)

    def resting(self, driving: Any, clip: bool = False) -> Any:
        return pose.resting(driving, self.options.region, clip)

    @property
    def _told(self) -> tuple[int, ...]:
        """Points whose expression the driving does not move, because an option says how they stand."""
        eyes, lip = self.options.eyes is not None, self.options.lip is not None
        return pose.EYES * eyes + pose.LIP * lip

    def check_asked(self, mode: str, clip: bool) -> None:
        super().check_asked(mode, clip)
        rest = self.options.rest
        if rest in ("lip", "all") and mode != "relative":
            raise FommError(f"In mode {mode} lips are the driving's: rest={rest} has none to close.", "Leave it out.")
        if rest in ("eyes", "all") and not clip:
            raise FommError(f"rest={rest} is for source clips: the eyes of a picture do not blink.", "Take rest=lip.")

    @property
    def heeds_openness(self) -> bool:  # type: ignore[override]
        return bool(self._told) or self.options.rest != "none"

    @property
    def follows_openness(self) -> bool:  # type: ignore[override]
        return "driving" in (self.options.eyes, self.options.lip)

    def opened(self, poses: Any, openness: NDArray[np.float64]) -> Any:
        return poses._replace(openness=openness.astype(np.float32))

    def settle(self, engine: Any, source: Any, driving: Any) -> Any:
        moved, finish = driving, self._finish(source, driving)
        if finish is not None:
            moved = engine.settle(source, driving, finish)
        elif self.options.stitching:
            moved = engine.settle(source, driving)
        if self.options.multiplier == 1:
            return moved
        return moved._replace(value=source.value + np.float32(self.options.multiplier) * (moved.value - source.value))

    def _finish(self, source: Any, driving: Any) -> pose.Finish | None:
        """What there is to open and close, of a single frame of the source; None where there is nothing."""
        if not self.heeds_openness:
            return None
        if source.openness is None or len(source.openness) != 1:
            raise ValueError("eyes and lips are opened from what those of one source frame are: see `opened`")
        options, (own,) = self.options, source.openness
        eyes: Any = options.eyes
        lip: Any = options.lip
        if self.follows_openness and driving.openness is None:
            raise FommError(
                "The driving does not tell how open its eyes and lips are.",
                "Extract the motion again with --openness, or take the clip itself.",
            )
        if eyes == "driving" or options.rest in ("eyes", "all"):
            eyes = driving.openness[:, 0]
        if lip == "driving":
            lip = driving.openness[:, 2]
        elif options.rest in ("lip", "all") and own[2] >= pose.PARTED:
            lip = 0.0

        def rows(own: Any, wanted: Any) -> NDArray[np.float32] | None:
            """For each driving frame the source's ratios and the wanted one."""
            if wanted is None:
                return None
            wide = np.empty((len(driving.value), len(own) + 1), dtype=np.float32)
            wide[:, :-1], wide[:, -1] = own, wanted
            return wide

        eyes, lip = rows(own[:2], eyes), rows(own[2:], lip)
        if eyes is None and lip is None:
            return None
        return pose.Finish(options.stitching, eyes=eyes, lip=lip, after=not self._told)

    def distance(self, source: Any, driving: Any) -> NDArray[np.float64]:
        return pose.distance(source, driving)

    def space(self, anchor: Any) -> Space:
        return HeadSpace(anchor)

    def fusable(self, config: LivePortraitConfig) -> bool:
        return True

    def network(self, config: LivePortraitConfig, size: tuple[int, int]) -> LivePortraitModel:
        from fomm_cli.model.live_portrait.network import LivePortraitModel

        return LivePortraitModel(config, size)

    def published(self) -> Published:
        from fomm_cli.model.live_portrait import published

        return cast(Published, published)

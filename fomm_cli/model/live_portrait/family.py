"""LivePortrait as the house asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.family import Family
from fomm_cli.model.live_portrait import pose
from fomm_cli.model.live_portrait.config import LivePortraitConfig, PortraitOptions
from fomm_cli.model.live_portrait.space import HeadSpace
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
    openness: NDArray[np.float64] | None = None
    takes_clips = True
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
        smoothing = self.options.smoothing if len(driving.value) > 1 else 0.0
        return pose.transfer(source, driving, initial, mode, self.options.region, True, smoothing, self._told)

    def resting(self, driving: Any) -> Any:
        return pose.resting(driving, self.options.region)

    @property
    def _told(self) -> tuple[int, ...]:
        """Points whose expression the driving does not move, because an option says how they stand."""
        eyes, lip = self.options.eyes is not None, self.options.lip is not None
        return pose.EYES * eyes + pose.LIP * lip

    @property
    def heeds_openness(self) -> bool:  # type: ignore[override]
        return bool(self._told)

    def opened(self, openness: NDArray[np.float64]) -> Self:
        family = type(self)(self.options)
        family.openness = openness
        return family

    def settle(self, engine: Any, source: Any, driving: Any) -> Any:
        moved = driving
        if self._told:
            moved = engine.settle(source, driving, self._finish(len(driving.value)))
        elif self.options.stitching:
            moved = engine.settle(source, driving)
        if self.options.multiplier == 1:
            return moved
        return moved._replace(value=source.value + np.float32(self.options.multiplier) * (moved.value - source.value))

    def _finish(self, batch: int) -> pose.Finish:
        if self.openness is None:
            raise ValueError("eyes and lips are opened from what the source's are: see `opened`")
        left, right, lip = self.openness

        def rows(wanted: float | None, *own: float) -> NDArray[np.float32] | None:
            return None if wanted is None else np.tile(np.array([*own, wanted], dtype=np.float32), (batch, 1))

        eyes, lips = rows(self.options.eyes, left, right), rows(self.options.lip, lip)
        return pose.Finish(self.options.stitching, eyes=eyes, lip=lips)

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

"""LivePortrait as the house asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
        return pose.transfer(source, driving, initial, mode, self.options.region)

    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        return self.transfer(source, driving, initial)

    def redirect(self, source: Any, driving: Any, initial: Any, mode: str) -> Any:
        self.check_mode(mode)
        smoothing = self.options.smoothing if len(driving.value) > 1 else 0.0
        return pose.transfer(source, driving, initial, mode, self.options.region, clip=True, smoothing=smoothing)

    def resting(self, driving: Any) -> Any:
        return pose.resting(driving, self.options.region)

    def settle(self, engine: Any, source: Any, driving: Any) -> Any:
        moved = engine.settle(source, driving) if self.options.stitching else driving
        if self.options.multiplier == 1:
            return moved
        return moved._replace(value=source.value + np.float32(self.options.multiplier) * (moved.value - source.value))

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

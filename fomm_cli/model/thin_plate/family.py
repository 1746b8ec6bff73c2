"""Thin-plate-spline motion as the house asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.config import AvdTrain
from fomm_cli.model.family import Family
from fomm_cli.model.published import Published
from fomm_cli.model.relative import PointSpace
from fomm_cli.model.thin_plate import pose, published
from fomm_cli.model.thin_plate.config import ThinPlateConfig, ThinPlateTrain

if TYPE_CHECKING:
    from fomm_cli.model.thin_plate.network import ThinPlateModel
    from fomm_cli.model.training import Training


class ThinPlate(Family):
    """Splines through five points each (Zhao and Zhang, CVPR 2022)."""

    name = "thin_plate"
    title = "thin-plate spline motion"
    Config = ThinPlateConfig
    Train = ThinPlateTrain
    AvdTrain = AvdTrain
    Pose = pose.SplinePoints
    parts = ("keypoint_detector", "dense_motion", "generator")
    optional_parts = ("background_predictor", "avd")
    modes = ("relative", "absolute", "avd")
    always_scales = True

    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        return pose.carry(source, driving, initial)

    def distance(self, source: Any, driving: Any) -> NDArray[np.float64]:
        return pose.distance(source, driving)

    def space(self, anchor: Any) -> PointSpace:
        return PointSpace(anchor)

    def network(self, config: ThinPlateConfig, size: tuple[int, int]) -> ThinPlateModel:
        from fomm_cli.model.thin_plate.network import ThinPlateModel

        return ThinPlateModel(config, size)

    def training(self) -> Training:
        from fomm_cli.model.thin_plate.training import ThinPlateTraining

        return ThinPlateTraining()

    def published(self) -> Published:
        return cast(Published, published)

"""Articulated regions as the house asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.family import Family
from fomm_cli.model.published import Published
from fomm_cli.model.regions import pose, published
from fomm_cli.model.regions.config import RegionsAvdTrain, RegionsConfig, RegionsTrain

if TYPE_CHECKING:
    from fomm_cli.model.regions.network import RegionsModel
    from fomm_cli.model.training import Training


class ArticulatedRegions(Family):
    """Parts of the picture, each with its place, axes and extent (Siarohin et al., CVPR 2021)."""

    name = "regions"
    title = "articulated regions"
    Config = RegionsConfig
    Train = RegionsTrain
    AvdTrain = RegionsAvdTrain
    Pose = pose.Regions
    parts = ("keypoint_detector", "dense_motion", "generator")
    optional_parts = ("background_predictor", "avd")
    modes = ("relative", "absolute", "avd")
    always_scales = True

    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        return pose.carry(source, driving, initial)

    def distance(self, source: Any, driving: Any) -> NDArray[np.float64]:
        return pose.distance(source, driving)

    def space(self, anchor: Any) -> pose.RegionSpace:
        return pose.RegionSpace(anchor)

    def pose_fields(self, config: RegionsConfig) -> list[str]:
        if config.axes == "none":
            return ["value"]
        return ["value", "jacobian", "covariance"] if config.dense_motion.covariance_evidence else ["value", "jacobian"]

    def network(self, config: RegionsConfig, size: tuple[int, int]) -> RegionsModel:
        from fomm_cli.model.regions.network import RegionsModel

        return RegionsModel(config, size)

    def training(self) -> Training:
        from fomm_cli.model.regions.training import RegionsTraining

        return RegionsTraining()

    def published(self) -> Published:
        return cast(Published, published)

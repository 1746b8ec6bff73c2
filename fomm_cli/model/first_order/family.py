"""First-order motion as the house asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.family import Family
from fomm_cli.model.first_order import pose, published
from fomm_cli.model.first_order.config import FirstOrderConfig, FirstOrderTrain
from fomm_cli.model.published import Published
from fomm_cli.model.relative import PointSpace

if TYPE_CHECKING:
    from fomm_cli.model.first_order.network import FirstOrderModel
    from fomm_cli.model.training import Training


class FirstOrder(Family):
    """Keypoints with a local affine frame each (or none: the zero-order model)."""

    name = "first_order"
    title = "first order motion"
    Config = FirstOrderConfig
    Train = FirstOrderTrain
    Pose = pose.Keypoints
    parts = ("keypoint_detector", "dense_motion", "generator")
    optional_parts = ("discriminator",)

    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        return pose.carry(source, driving, initial, adapt_scale)

    def distance(self, source: Any, driving: Any) -> NDArray[np.float64]:
        return pose.distance(source, driving)

    def space(self, anchor: Any) -> PointSpace:
        return PointSpace(anchor)

    def pose_fields(self, config: FirstOrderConfig) -> list[str]:
        return ["value", "jacobian"] if config.estimate_jacobian else ["value"]

    def fusable(self, config: FirstOrderConfig) -> bool:
        return True

    def network(self, config: FirstOrderConfig, size: tuple[int, int]) -> FirstOrderModel:
        from fomm_cli.model.first_order.network import FirstOrderModel

        return FirstOrderModel(config, size)

    def training(self) -> Training:
        from fomm_cli.model.first_order.training import FirstOrderTraining

        return FirstOrderTraining()

    def published(self) -> Published:
        return cast(Published, published)

"""The first-order model: keypoint detector, dense motion, generator."""

from __future__ import annotations

from torch import Tensor

from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.dense import KeypointMotion
from fomm_cli.model.first_order.detector import KeypointDetector
from fomm_cli.model.first_order.generator import OcclusionAwareGenerator
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.types import Encoded, Rendering


class FirstOrderModel(AnimationModel):
    """See `AnimationModel`; eqs. 4 to 8 of arXiv 2003.00196."""

    config: FirstOrderConfig

    def __init__(self, config: FirstOrderConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__(config, size)
        self.keypoint_detector = KeypointDetector(config)
        self.dense_motion = KeypointMotion(config)
        self.generator = OcclusionAwareGenerator(config)
        self.motion_size = self.dense_motion.down.small(size)
        self.rendered = ("source", "small", "features") if self.generator.blend else ("small", "features")

    def detect(self, image: Tensor) -> Keypoints:
        return self.keypoint_detector(image)

    def encode(self, source: Tensor) -> Encoded:
        return Encoded(source, self.dense_motion.down(source), self.generator.encode(source))

    def render(
        self,
        encoded: Encoded,
        pose_source: Keypoints,
        pose_driving: Keypoints,
        background: Tensor | None = None,
        deformed: bool = True,
        taper: Tensor | None = None,
    ) -> Rendering:
        motion = self.dense_motion(encoded.small, pose_source, pose_driving).tapered(taper)
        return self.generator.decode(encoded.features, encoded.source, motion, deformed)

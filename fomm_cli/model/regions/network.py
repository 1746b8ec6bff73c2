"""The model of articulated regions: detector, dense motion, generator, and what stands beside them."""

from __future__ import annotations

from torch import Tensor

from fomm_cli.model.network import AnimationModel
from fomm_cli.model.regions.avd import RegionDisentanglement
from fomm_cli.model.regions.background import BackgroundPredictor
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.dense import RegionMotion
from fomm_cli.model.regions.detector import RegionDetector
from fomm_cli.model.regions.generator import RegionGenerator
from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.types import Encoded, Rendering


class RegionsModel(AnimationModel):
    """See `AnimationModel`; arXiv 2104.11280."""

    config: RegionsConfig

    def __init__(self, config: RegionsConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__(config, size)
        self.keypoint_detector = RegionDetector(config)
        self.dense_motion = RegionMotion(config)
        self.generator = RegionGenerator(config)
        self.background_predictor = BackgroundPredictor(config) if config.background.type != "zero" else None
        self.avd: RegionDisentanglement | None = None
        self.motion_size = self.dense_motion.down.small(size)
        self.rendered = ("source", "small", "features") if config.generator.skips else ("small", "features")

    def add(self, part: str) -> None:
        if part != "avd":
            return super().add(part)
        self.pose_seams = {"disentangle": ("value", "jacobian")}
        self.avd = RegionDisentanglement(self.config)

    def detect(self, image: Tensor) -> Regions:
        return self.keypoint_detector(image)

    def encode(self, source: Tensor) -> Encoded:
        return Encoded(source, self.dense_motion.down(source), self.generator.encode(source))

    def render(
        self,
        encoded: Encoded,
        pose_source: Regions,
        pose_driving: Regions,
        background: Tensor | None = None,
        deformed: bool = True,
        taper: Tensor | None = None,
    ) -> Rendering:
        motion = self.dense_motion(encoded.small, pose_source, pose_driving, background).tapered(taper)
        prediction, warped = self.generator.decode(encoded.features, encoded.source, motion, deformed)
        return Rendering(prediction, motion, warped)

    def background(self, source: Tensor, driving: Tensor) -> Tensor | None:
        return None if self.background_predictor is None else self.background_predictor(source, driving)

    def disentangle(self, pose_source: Regions, pose_driving: Regions) -> Regions:
        assert self.avd is not None
        return self.avd.disentangle(pose_source, pose_driving)

"""The thin-plate-spline model: detector, dense motion, generator, and what stands beside them."""

from __future__ import annotations

from torch import Tensor

from fomm_cli.model.avd import DisentanglementNetwork
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.thin_plate.config import ThinPlateConfig
from fomm_cli.model.thin_plate.dense import DenseMotionNetwork
from fomm_cli.model.thin_plate.detector import BackgroundPredictor, KeypointDetector
from fomm_cli.model.thin_plate.generator import InpaintingGenerator
from fomm_cli.model.thin_plate.pose import SplinePoints
from fomm_cli.model.types import Encoded, Rendering


class ThinPlateModel(AnimationModel):
    """See `AnimationModel`; arXiv 2203.14367."""

    config: ThinPlateConfig
    rendered = ("source", "small", "features")

    def __init__(self, config: ThinPlateConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__(config, size)
        halvings = config.dense_motion.num_blocks + config.doublings
        if size[0] * size[1] <= 4**halvings:  # the norm of one pixel is 0, whatever the pixel
            raise ValueError(f"{size[0]} x {size[1]} frames leave one pixel after {halvings} halvings")
        self.keypoint_detector = KeypointDetector(config)
        self.dense_motion = DenseMotionNetwork(config)
        self.generator = InpaintingGenerator(config)
        self.background_predictor = BackgroundPredictor(config) if config.bg else None
        self.avd: DisentanglementNetwork | None = None
        self.motion_size = self.dense_motion.down.small(size)

    def add(self, part: str) -> None:
        if part != "avd":
            return super().add(part)
        avd = self.config.avd
        self.pose_seams = {"disentangle": ("value",)}
        self.avd = DisentanglementNetwork(2 * self.config.points, avd.id_bottle_size, avd.pose_bottle_size)

    def detect(self, image: Tensor) -> SplinePoints:
        return self.keypoint_detector(image)

    def encode(self, source: Tensor) -> Encoded:
        return Encoded(source, self.dense_motion.down(source), self.generator.encode(source))

    def render(
        self,
        encoded: Encoded,
        pose_source: SplinePoints,
        pose_driving: SplinePoints,
        background: Tensor | None = None,
        deformed: bool = True,
        taper: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Rendering:
        """As `AnimationModel.render`; the warped source is part of the picture, and so always there.

        keep  (B, K+1) of 0 and 1, in training only: candidates with 0 take no part
        """
        motion = self.dense_motion(encoded.small, pose_source, pose_driving, background, keep).tapered(taper)
        prediction, warped = self.generator.decode(encoded.features, encoded.source, motion)
        return Rendering(prediction, motion, warped)

    def background(self, source: Tensor, driving: Tensor) -> Tensor | None:
        return None if self.background_predictor is None else self.background_predictor(source, driving)

    def disentangle(self, pose_source: SplinePoints, pose_driving: SplinePoints) -> SplinePoints:
        assert self.avd is not None
        shape = pose_driving.value.flatten(1)
        moved = self.avd(pose_source.value.flatten(1).expand_as(shape), shape)
        return SplinePoints(moved.reshape(-1, self.config.points, 2))

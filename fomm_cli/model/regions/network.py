"""The three seams, as articulated regions do them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from fomm_cli.model.regions.avd import RegionDisentanglement
from fomm_cli.model.regions.background import BackgroundPredictor
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.dense import RegionMotionNetwork
from fomm_cli.model.regions.detector import RegionDetector
from fomm_cli.model.regions.generator import RegionGenerator
from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.types import Rendering


class Encoded(NamedTuple):
    """All that depends on the source alone; a batch of 1 serves any number of driving frames.

    image     (B or 1, 3, H, W): the source
    small     (B or 1, 3, h, w): the source, anti-aliased down to the motion maps
    features  (B or 1, C, H / 2^i, W / 2^i) each, the largest first: what the generator warps
    """

    image: Tensor
    small: Tensor
    features: tuple[Tensor, ...]


class RegionsModel(nn.Module):
    """Region detector, dense motion and generator; beside them a background predictor and a disentanglement network.

    size  (H, W): the frame size the weights were trained at
    """

    def __init__(self, config: RegionsConfig, size: tuple[int, int] = (256, 256), avd: bool = False) -> None:
        super().__init__()
        self.config = config
        self.size = size
        self.keypoint_detector = RegionDetector(config)
        self.dense_motion = RegionMotionNetwork(config)
        self.generator = RegionGenerator(config)
        self.background_predictor = BackgroundPredictor(config) if config.background.type != "zero" else None
        self.avd = RegionDisentanglement(config) if avd else None

    def detect(self, image: Tensor) -> Regions:
        """Regions of images (B, 3, H, W) in [0, 1]."""
        return self.keypoint_detector(image)

    def encode(self, source: Tensor) -> Encoded:
        """Everything that depends on the source (B or 1, 3, H, W) alone."""
        return Encoded(source, self.dense_motion.down(source), self.generator.encode(source))

    def background(self, source: Tensor, driving: Tensor) -> Tensor | None:
        """The background's motion (B, 3, 3), driving points to source points; None where it stands still."""
        return None if self.background_predictor is None else self.background_predictor(source, driving)

    def disentangle(self, pose_source: Regions, pose_driving: Regions) -> Regions:
        """The source's regions (of batch B or 1) in the driving's pose."""
        assert self.avd is not None
        return self.avd.disentangle(pose_source, pose_driving)

    def render(
        self,
        encoded: Encoded,
        pose_source: Regions,
        pose_driving: Regions,
        background: Tensor | None = None,
        deformed: bool = False,
    ) -> Rendering:
        """The source in the pose of `pose_driving`.

        encoded, pose_source  of batch B, or of 1 for one source and B driving frames
        pose_driving          of batch B
        """
        motion = self.dense_motion(encoded.small, pose_source, pose_driving, background)
        prediction, warped = self.generator.decode(encoded.features, encoded.image, motion, deformed)
        return Rendering(prediction, motion, warped)

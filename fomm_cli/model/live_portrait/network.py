"""LivePortrait behind the house's seams: detect, encode, settle, render."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from fomm_cli.model.live_portrait.appearance import AppearanceExtractor
from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.live_portrait.dense import DenseMotionNetwork
from fomm_cli.model.live_portrait.detector import PoseDetector
from fomm_cli.model.live_portrait.generator import SpadeGenerator
from fomm_cli.model.live_portrait.pose import Finish, HeadPose, settled
from fomm_cli.model.live_portrait.stitching import Retargeting, Stitching
from fomm_cli.model.types import Rendering


class Encoded(NamedTuple):
    """All that depends on the source alone; a batch of 1 serves any number of driving frames.

    source    (B or 1, 3, H, W)
    small     the volume, compressed for the dense motion network
    features  the volume, (B or 1, C, D, H / 4, W / 4)
    """

    source: Tensor
    small: Tensor
    features: Tensor


class LivePortraitModel(nn.Module):
    """A head in the pose of another, twice the size it came in.

    size         (H, W) of frames in
    output_size  (H, W) of frames out
    """

    def __init__(self, config: LivePortraitConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__()
        self.config = config
        self.size = size
        scale = 8 // 2**config.appearance.num_down_blocks
        self.output_size = (scale * size[0], scale * size[1])
        self.appearance = AppearanceExtractor(config)
        self.keypoint_detector = PoseDetector(config)
        self.dense_motion = DenseMotionNetwork(config)
        self.generator = SpadeGenerator(config)
        self.stitching = Stitching(config.num_kp, config.stitching.stitching)
        self.lip = Retargeting(config.num_kp, 2, config.stitching.lip)
        self.eyes = Retargeting(config.num_kp, 3, config.stitching.eyes)

    def detect(self, image: Tensor) -> HeadPose:
        """The heads' pose in images (B, 3, H, W) in [0, 1]."""
        return self.keypoint_detector(image)

    def encode(self, source: Tensor) -> Encoded:
        """Everything that depends on the source (B or 1, 3, H, W) alone: its volume, whole and compressed."""
        volume = self.appearance(source)
        return Encoded(source, self.dense_motion.encode(volume), volume)

    def settle(self, pose_source: HeadPose, pose_driving: HeadPose, ratios: Finish | None = None) -> HeadPose:
        """`pose_driving` with its keypoints as they are rendered; see `Finish`."""
        value = settled(pose_source.value, pose_driving.value, ratios or Finish(), self.stitching, self.eyes, self.lip)
        return pose_driving._replace(value=value)

    def render(
        self, encoded: Encoded, pose_source: HeadPose, pose_driving: HeadPose, deformed: bool = False
    ) -> Rendering:
        """The source in the pose of `pose_driving`; of both poses the keypoints alone are looked at."""
        motion = self.dense_motion(encoded.small, pose_source.value, pose_driving.value)
        prediction = self.generator.decode(encoded.features, motion)
        return Rendering(prediction, motion, None)

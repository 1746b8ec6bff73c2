"""LivePortrait behind the house's seams: detect, encode, settle, render."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from fomm_cli.model.live_portrait.appearance import AppearanceExtractor
from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.live_portrait.dense import DenseMotionNetwork
from fomm_cli.model.live_portrait.detector import PoseDetector
from fomm_cli.model.live_portrait.generator import SpadeGenerator
from fomm_cli.model.live_portrait.pose import Finish, HeadPose, settled
from fomm_cli.model.live_portrait.stitching import Retargeting, Stitching
from fomm_cli.model.network import AnimationModel
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


class LivePortraitModel(AnimationModel):
    """A head in the pose of another, twice the size it came in."""

    config: LivePortraitConfig
    rendered = ("small", "features")
    pose_seams = MappingProxyType({"settle": ("value",)})
    looked_at = ("value",)

    def __init__(self, config: LivePortraitConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__(config, size)
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

    def settle(self, pose_source: HeadPose, pose_driving: HeadPose, finish: Finish | None = None) -> HeadPose:
        """`pose_driving` with its keypoints as they are rendered; see `Finish`."""
        finish, like = finish or Finish(), pose_driving.value
        ratios = [None if each is None else torch.as_tensor(each).to(like) for each in (finish.eyes, finish.lip)]
        finish = finish._replace(eyes=ratios[0], lip=ratios[1])
        value = settled(pose_source.value, pose_driving.value, finish, self.stitching, self.eyes, self.lip)
        return pose_driving._replace(value=value)

    def render(
        self,
        encoded: Encoded,
        pose_source: HeadPose,
        pose_driving: HeadPose,
        background: Tensor | None = None,
        deformed: bool = False,
        taper: Tensor | None = None,
    ) -> Rendering:
        """The source in the pose of `pose_driving`; of both poses the keypoints alone are looked at.

        `background` and `taper` are not looked at; there is no warped source, since what is warped is a volume.
        """
        motion = self.dense_motion(encoded.small, pose_source.value, pose_driving.value)
        return Rendering(self.generator.decode(encoded.features, motion), motion, None)

"""The three seams: detect, encode, render. Animation, training, evaluation and export all go through them."""

from __future__ import annotations

from torch import Tensor, nn

from fomm_cli.config.schema import ModelConfig
from fomm_cli.model.dense import DenseMotionNetwork
from fomm_cli.model.generator import OcclusionAwareGenerator
from fomm_cli.model.motion import MOTIONS
from fomm_cli.model.types import Encoded, Keypoints, Rendering


class FirstOrderModel(nn.Module):
    """Keypoint detector, dense motion and generator.

    >>> encoded = model.encode(source)                    # once
    >>> kp_source = model.detect(source)
    >>> out = model.render(encoded, kp_source, model.detect(driving))

    size  (H, W): the frame size the weights were trained at; the network takes others, at its own risk
    """

    def __init__(self, config: ModelConfig, size: tuple[int, int] = (256, 256)) -> None:
        super().__init__()
        self.config = config
        self.size = size
        self.keypoint_detector = MOTIONS[config.motion].KeypointDetector(config)
        self.dense_motion = DenseMotionNetwork(config)
        self.generator = OcclusionAwareGenerator(config)

    def detect(self, image: Tensor) -> Keypoints:
        """Keypoints of images (B, 3, H, W) in [0, 1]."""
        return self.keypoint_detector(image)

    def encode(self, source: Tensor) -> Encoded:
        """Everything that depends on the source (B or 1, 3, H, W) alone."""
        return Encoded(source, self.dense_motion.down(source), self.generator.encode(source))

    def render(self, encoded: Encoded, kp_source: Keypoints, kp_driving: Keypoints, deformed: bool = True) -> Rendering:
        """The source in the pose of `kp_driving`.

        encoded, kp_source  of batch B, or of 1 for one source and B driving frames
        kp_driving          of batch B
        deformed            False saves the warped source, a picture to look at only
        """
        motion = self.dense_motion(encoded.small, kp_source, kp_driving)
        prediction, warped = self.generator.decode(encoded.features, encoded.image, motion, deformed)
        return Rendering(prediction, motion.flow, motion.occlusion, warped, motion)

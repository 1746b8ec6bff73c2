"""The `model` and `train` sections of a first-order model. The defaults are those of the published vox-256."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, SerializeAsAny, model_validator

from fomm_cli.model.config import DenseMotionConfig, Frozen, HourglassConfig, LossConfig, ModelConfig, TrainConfig


class DetectorConfig(HourglassConfig):
    """The keypoint detector: an hourglass over the down-sampled image, then heat maps and Jacobian maps."""

    block_expansion: int = Field(32, ge=1)
    """Width of the hourglass's first block, in channels."""
    temperature: float = Field(0.1, gt=0)
    """The spatial softmax divides its input by this: smaller is sharper."""
    scale_factor: float = Field(0.25, gt=0, le=1)
    """The detector sees the image at this scale: 1, 0.5, 0.25, 0.125."""
    single_jacobian_map: bool = False
    """One Jacobian map shared by all keypoints, instead of one each."""
    pad: int = Field(0, ge=0, le=64)
    """Padding of the two 7x7 heads, in pixels of the heat map. 0 in every published model."""


class KeypointMotionConfig(DenseMotionConfig):
    """Keypoints to one dense flow and an occlusion map."""

    kp_variance: float = Field(0.01, gt=0)
    """Variance of the keypoint Gaussians, in squared units of [-1, 1]."""


class GeneratorConfig(Frozen):
    """Encoder, warped features, residual bottleneck, decoder."""

    block_expansion: int = Field(64, ge=1)
    """Width at full resolution, in channels."""
    max_features: int = Field(512, ge=1)
    """No block is wider, in channels."""
    num_down_blocks: int = Field(2, ge=0)
    """Each halves the feature map before the warp, and an up block doubles it after."""
    num_bottleneck_blocks: int = Field(6, ge=0)
    """Residual blocks after the warp."""
    estimate_occlusion_map: bool = True
    """Multiply warped features by a map of what the source shows."""
    skip: Literal["none", "blend"] = "none"
    """`blend`: prediction = occlusion * warped source + (1 - occlusion) * decoded. Not in the published model."""

    @model_validator(mode="after")
    def _blend_needs_occlusion(self) -> GeneratorConfig:
        if self.skip == "blend" and not self.estimate_occlusion_map:
            raise ValueError("skip: blend needs estimate_occlusion_map")
        return self


class DiscriminatorConfig(Frozen):
    """A PatchGAN over an image pyramid."""

    scales: tuple[float, ...] = (1.0,)
    """Pyramid scales, one discriminator each."""
    block_expansion: int = Field(32, ge=1)
    """Width of the first block, in channels."""
    max_features: int = Field(512, ge=1)
    """No block is wider, in channels."""
    num_blocks: int = Field(4, ge=1)
    """Convolution blocks; all but the last halve the map."""
    sn: bool = True
    """Spectral norm on every convolution."""
    use_kp: bool = False
    """Keypoint Gaussians as extra input channels, after RGB."""
    kp_variance: float = Field(0.01, gt=0)
    """Variance of those Gaussians."""


class FirstOrderConfig(ModelConfig):
    """The architecture."""

    family: Literal["first_order"] = "first_order"
    """The family of motion models."""
    num_kp: int = Field(10, ge=1, le=500)
    """Keypoints."""
    estimate_jacobian: bool = True
    """Local affine motion around each keypoint; false is the zero-order model (Monkey-Net's motion)."""
    detector: DetectorConfig = DetectorConfig()
    dense_motion: KeypointMotionConfig = KeypointMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()

    @property
    def points(self) -> int:
        """Points of a pose."""
        return self.num_kp

    def extends(self, other: ModelConfig) -> bool:
        return other.model_copy(update={"num_kp": self.num_kp}) == self

    @property
    def divisor(self) -> int:
        """Each hourglass sees the image at its scale and halves that; the generator halves the image."""
        halvings = [self.generator.num_down_blocks]
        for part in (self.detector, self.dense_motion):
            halvings.append(part.num_blocks + round(math.log2(1 / part.scale_factor)))
        return 2 ** max(halvings)


class FirstOrderLoss(LossConfig):
    """Weights of the loss terms; 0 switches a term off."""

    generator_gan: float = Field(0.0, ge=0)
    """Least-squares GAN term; at 0 there is no discriminator step and no feature matching either."""
    feature_matching: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0)
    """One weight a discriminator block."""
    discriminator_gan: float = Field(1.0, ge=0)
    """The discriminator's own term."""
    equivariance_value: float = Field(10.0, ge=0)
    """Keypoints must move with the picture."""
    equivariance_jacobian: float = Field(10.0, ge=0)
    """Jacobians must turn with the picture."""

    @property
    def looks(self) -> bool:
        return super().looks or self.generator_gan > 0


class FirstOrderTrain(TrainConfig):
    """The optimisation."""

    lr_kp_detector: float = Field(2e-4, ge=0)
    """Adam's rate for the keypoint detector; at 0 its weights stand still."""
    lr_discriminator: float = Field(2e-4, ge=0)
    """Adam's rate for the discriminator."""
    loss: SerializeAsAny[FirstOrderLoss] = FirstOrderLoss()

"""The `model` and `train` sections of a thin-plate model. The defaults are those of the published vox-256."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SerializeAsAny, model_validator

from fomm_cli.model.config import AvdTrain, DenseMotionConfig, Frozen, LossConfig, ModelConfig, TrainConfig
from fomm_cli.model.thin_plate.pose import SPLINE


class SplineMotionConfig(DenseMotionConfig):
    """Splines to one dense flow and occlusion maps."""

    kp_variance: float = Field(0.01, gt=0)
    """Variance of the points' Gaussians, in squared units of [-1, 1]."""


class GeneratorConfig(Frozen):
    """Encoder, warped features of every size, decoder."""

    block_expansion: int = Field(64, ge=1)
    """Width at full resolution, in channels."""
    max_features: int = Field(512, ge=1)
    """No block is wider, in channels."""
    num_down_blocks: int = Field(3, ge=1)
    """Each halves the feature map before the warp, and an up block doubles it after."""


class AvdConfig(Frozen):
    """The network of `--mode avd`, trained after the rest: `fomm train avd`."""

    id_bottle_size: int = Field(128, ge=1)
    """Numbers that carry the identity."""
    pose_bottle_size: int = Field(128, ge=1)
    """Numbers that carry the pose."""


class ThinPlateConfig(ModelConfig):
    """The architecture."""

    family: Literal["thin_plate"] = "thin_plate"
    """The family of motion models."""
    align_corners: Literal[True] = True
    """The warp's convention: -1 and 1 are the centres of the corner pixels. This family has no other."""
    num_tps: int = Field(10, ge=1, le=100)
    """Splines, of five points each."""
    bg: bool = True
    """A network for the motion of what lies behind, in training and reconstruction; false where nothing lies behind."""
    multi_mask: bool = True
    """An occlusion map for each size of the generator's features, instead of one for all."""
    resnet_width: int = Field(64, ge=8)  # of 4 channels, oneDNN's 1x1 convolution with stride 2 overruns its memory
    """Width of the first stage of the ResNet-18 that find points and background; 64 in every published model."""
    dense_motion: SplineMotionConfig = SplineMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    avd: AvdConfig = AvdConfig()

    @property
    def points(self) -> int:
        """Points of a pose."""
        return SPLINE * self.num_tps

    @property
    def doublings(self) -> int:
        """How often the flow's resolution doubles up to the image's."""
        return round(1 / self.dense_motion.scale_factor).bit_length() - 1

    @property
    def divisor(self) -> int:
        """The hourglass sees the image at its scale and halves that; the generator halves the image."""
        return 2 ** max(self.generator.num_down_blocks, self.dense_motion.num_blocks + self.doublings)

    @model_validator(mode="after")
    def _sizes_meet(self) -> ThinPlateConfig:
        if self.dense_motion.scale_factor not in (1, 0.5, 0.25, 0.125):
            raise ValueError("dense_motion.scale_factor must be 1, 0.5, 0.25 or 0.125")
        if self.multi_mask and self.generator.num_down_blocks != 3:
            raise ValueError("multi_mask needs generator.num_down_blocks: 3, one occlusion map for each of four sizes")
        if self.multi_mask and self.dense_motion.num_blocks < 4 - self.doublings:
            raise ValueError(f"multi_mask needs dense_motion.num_blocks >= {4 - self.doublings} at this scale_factor")
        return self


class ThinPlateLoss(LossConfig):
    """Weights of the loss terms; 0 switches a term off."""

    equivariance_value: float = Field(10.0, ge=0)
    """Points must move with the picture."""
    warp_loss: float = Field(10.0, ge=0)
    """The flow must carry the source's features to the driving frame's."""
    bg: float = Field(10.0, ge=0)
    """The background's motion there and back must cancel."""


class DropoutConfig(Frozen):
    """Splines left out at random, so that none does the work of all. Epochs count from 0."""

    until: int = Field(35, ge=0)
    """From this epoch on none is left out; 0: never."""
    rise: int = Field(10, ge=1)
    """The chance grows by `most` in so many epochs."""
    start: float = Field(0.1, ge=0, lt=1)
    """The chance that a spline takes no part in a pair's flow, at first."""
    most: float = Field(0.3, ge=0, lt=1)
    """The chance never exceeds this."""


class ThinPlateTrain(TrainConfig):
    """The optimisation."""

    batch_size: int = Field(28, ge=1)
    """Pairs a step, over all processes."""
    epoch_milestones: tuple[int, ...] = (70, 90)
    """Rates are multiplied by 0.1 at these epochs."""
    weight_decay: float = Field(1e-4, ge=0)
    """Added to the gradient, times the weights (L2, not AdamW's way)."""
    clip_grad_inf: float = Field(10.0, ge=0)
    """Scale the gradients of detector, dense motion and background each to this largest entry; 0 does not."""
    bg_start: int = Field(10, ge=0)
    """Epoch from which on the background's motion is looked at; it stands still before."""
    dropout: DropoutConfig = DropoutConfig()
    loss: SerializeAsAny[ThinPlateLoss] = ThinPlateLoss()
    avd: AvdTrain = AvdTrain(num_epochs=200, num_repeats=300, epoch_milestones=(141, 181))
    """The second stage, `fomm train avd`."""

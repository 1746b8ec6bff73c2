"""What a model is and how it is trained: frozen pydantic models, every section, every key, every range.

A key has one spelling everywhere: the field here, the YAML key, the `--set` path, the loss function, the log key
and the key stored beside the weights. The defaults are those of the published vox-256.
"""

from __future__ import annotations

from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


# ---------------------------------------------------------------------------------------------------------- the model


class DetectorConfig(_Frozen):
    """The keypoint detector: an hourglass over the down-sampled image, then heat maps and Jacobian maps."""

    block_expansion: int = Field(32, ge=1)
    """Width of the hourglass's first block, in channels."""
    max_features: int = Field(1024, ge=1)
    """No block of the hourglass is wider, in channels."""
    num_blocks: int = Field(5, ge=1)
    """Down blocks (and up blocks) of the hourglass; each halves the map."""
    temperature: float = Field(0.1, gt=0)
    """The spatial softmax divides its input by this: smaller is sharper."""
    scale_factor: float = Field(0.25, gt=0, le=1)
    """The detector sees the image at this scale: 1, 0.5, 0.25, 0.125."""
    single_jacobian_map: bool = False
    """One Jacobian map shared by all keypoints, instead of one each."""
    pad: int = Field(0, ge=0)
    """Padding of the two 7x7 heads, in pixels of the heat map. 0 in every published model."""


class DenseMotionConfig(_Frozen):
    """Keypoints to one dense flow and an occlusion map."""

    block_expansion: int = Field(64, ge=1)
    """Width of the hourglass's first block, in channels."""
    max_features: int = Field(1024, ge=1)
    """No block of the hourglass is wider, in channels."""
    num_blocks: int = Field(5, ge=1)
    """Down blocks (and up blocks) of the hourglass; each halves the map."""
    scale_factor: float = Field(0.25, gt=0, le=1)
    """The source is seen at this scale, which is the flow's resolution too."""
    kp_variance: float = Field(0.01, gt=0)
    """Variance of the keypoint Gaussians, in squared units of [-1, 1]."""


class GeneratorConfig(_Frozen):
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


class DiscriminatorConfig(_Frozen):
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


class ModelConfig(_Frozen):
    """The architecture."""

    motion: Literal["first_order"] = "first_order"
    """The motion model: a file in `model/motion/`."""
    num_kp: int = Field(10, ge=1)
    """Keypoints."""
    num_channels: int = Field(3, ge=1, le=4)
    """Image channels."""
    estimate_jacobian: bool = True
    """Local affine motion around each keypoint; false is the zero-order model (Monkey-Net's motion)."""
    align_corners: bool = True
    """The warp's convention: -1 and 1 are the centres of the corner pixels (true) or the corners themselves (false)."""
    detector: DetectorConfig = DetectorConfig()
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()


# ----------------------------------------------------------------------------------------------------------- the data


class AugmentationConfig(_Frozen):
    """Random changes, drawn once for both frames of a pair."""

    time_flip: bool = True
    """Swap source and driving half of the time."""
    horizontal_flip: bool = True
    """Mirror half of the time."""
    rotation: float = Field(0.0, ge=0)
    """Rotate by an angle in [-rotation, rotation] degrees."""
    resize: tuple[float, float] | None = None
    """Scale by a ratio drawn from this range."""
    crop: tuple[int, int] | None = None
    """Crop to this (height, width) at a random place; smaller frames are padded first."""
    brightness: float = Field(0.0, ge=0)
    """Factor in [1 - b, 1 + b]."""
    contrast: float = Field(0.0, ge=0)
    """Factor in [1 - c, 1 + c]."""
    saturation: float = Field(0.0, ge=0)
    """Factor in [1 - s, 1 + s]."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Shift in [-h, h] turns of the colour wheel."""


class DataConfig(_Frozen):
    """Frames and pairs."""

    frame_shape: tuple[int, int] = (256, 256)
    """(height, width) the network is trained and run at, in pixels."""
    id_sampling: bool = True
    """An item is an identity (the name up to the first `#`); one of its clips is drawn each time."""
    augmentation: AugmentationConfig = AugmentationConfig(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)

    @field_validator("frame_shape", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, (int, str)) else tuple(value)[:2]

    @field_validator("frame_shape")
    @classmethod
    def _sane(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 8 or max(value) > 8192:
            raise ValueError("each side must lie between 8 and 8192 pixels")
        return value


# ------------------------------------------------------------------------------------------------------- the training


class TransformConfig(_Frozen):
    """The random warp of the equivariance losses."""

    sigma_affine: float = Field(0.05, ge=0)
    """Standard deviation of the affine part's six numbers."""
    sigma_tps: float = Field(0.005, ge=0)
    """Standard deviation of the thin-plate control values."""
    points_tps: int = Field(5, ge=2)
    """Control points a side."""


class LossConfig(_Frozen):
    """Weights of the loss terms; 0 switches a term off."""

    perceptual: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0, 10.0)
    """One weight a slice of the perceptual network, relu1_1 to relu5_1."""
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
    reconstruction: float = Field(0.0, ge=0)
    """Mean absolute pixel difference. Not in the published model."""

    @model_validator(mode="after")
    def _pictures(self) -> LossConfig:
        if len(self.perceptual) != 5:
            raise ValueError(f"perceptual has {len(self.perceptual)} weights for five slices: 0 leaves one out")
        if not (any(self.perceptual) or self.reconstruction or self.generator_gan):
            raise ValueError("No loss compares the picture: give perceptual, reconstruction or generator_gan a weight")
        return self


class TrainConfig(_Frozen):
    """The optimisation."""

    num_epochs: int = Field(100, ge=1)
    """Epochs to train."""
    num_repeats: int = Field(75, ge=1)
    """An epoch is every item this many times."""
    batch_size: int = Field(40, ge=1)
    """Pairs a step, over all processes."""
    accumulate: int = Field(1, ge=1)
    """Split each batch into this many parts, their gradients summed; batch norm sees one part."""
    lr_generator: float = Field(2e-4, ge=0)
    """Adam's rate for generator and dense motion."""
    lr_kp_detector: float = Field(2e-4, ge=0)
    """Adam's rate for the keypoint detector; at 0 its weights stand still."""
    lr_discriminator: float = Field(2e-4, ge=0)
    """Adam's rate for the discriminator."""
    epoch_milestones: tuple[int, ...] = (60, 90)
    """Rates are multiplied by 0.1 at these epochs."""
    scales: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125)
    """Pyramid scales of the perceptual loss."""
    perceptual_network: Literal["vgg19", "compact"] = "vgg19"
    """`vgg19`: torchvision's, as published. `compact`: a 16 times smaller distillation."""
    transform: TransformConfig = TransformConfig()
    loss: LossConfig = LossConfig()
    balance: float = Field(0.0, ge=0, le=1)
    """Pairs in which little moves count more in the image losses: 0 all the same, 1 inversely. Not published."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: networks under autocast; softmax, Jacobians, coordinates and losses stay fp32."""
    compile: bool = False
    """torch.compile the networks."""
    clip_grad_norm: float = Field(0.0, ge=0)
    """Clip each optimiser's gradient norm; 0 does not."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the running average of the weights; 0 keeps none. The average is what is exported."""
    max_nonfinite: int = Field(10, ge=1)
    """Stop after this many steps with a non-finite loss in a row."""

    @model_validator(mode="after")
    def _matching(self) -> TrainConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of accumulate {self.accumulate}")
        return self


class AnimateConfig(_Frozen):
    """How the authors of a model would animate with it."""

    mode: Literal["relative", "absolute"] = "relative"
    """Relative: the driving's change since its anchor is applied to the source's pose."""
    adapt_scale: bool = True
    """Scale movements by the ratio of the hulls of the two keypoint sets."""


class Config(_Frozen):
    """Everything: stored beside the weights, so that nothing else is needed to load them."""

    name: str = "custom"
    """The preset's name."""
    description: str = ""
    """One line: what it is for."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    animate: AnimateConfig = AnimateConfig()

    def to_yaml(self) -> str:
        """The whole config as YAML text that `load` reads back to an equal config."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

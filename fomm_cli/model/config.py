"""What the config sections of every family begin with: the architecture under `model`, the optimisation under `train`.

A family derives its own from them (`model/<family>/config.py`), so that no preset carries another family's keys.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator


class Frozen(BaseModel):
    """A section: read-only, an unknown key is an error, the docstring under a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class ModelConfig(Frozen):
    """The architecture. A family narrows `family` to its own tag."""

    family: str
    """The family of motion models: a folder of `model/`."""
    num_channels: int = Field(3, ge=1, le=4)
    """Image channels."""
    align_corners: bool = True
    """The warp's convention: -1 and 1 are the centres of the corner pixels (true) or the corners themselves (false)."""

    @property
    def points(self) -> int:
        """Points of a pose."""
        raise TypeError(f"{type(self).__name__} does not say how many points a pose has")

    def extends(self, other: ModelConfig) -> bool:
        """Whether this is the network of `other` with more points: its weights may be the start of this one's."""
        return False

    @property
    def divisor(self) -> int:
        """Frame sides must be multiples of this, in pixels."""
        return 1


class HourglassConfig(Frozen):
    """The size of an hourglass."""

    block_expansion: int = Field(64, ge=1)
    """Width of the hourglass's first block, in channels."""
    max_features: int = Field(1024, ge=1)
    """No block of the hourglass is wider, in channels."""
    num_blocks: int = Field(5, ge=1)
    """Down blocks (and up blocks) of the hourglass; each halves the map."""


class DenseMotionConfig(HourglassConfig):
    """From a pose to one dense flow and occlusion maps."""

    scale_factor: float = Field(0.25, gt=0, le=1)
    """The source is seen at this scale, which is the flow's resolution too."""


class TransformConfig(Frozen):
    """The random warp of the equivariance losses."""

    sigma_affine: float = Field(0.05, ge=0)
    """Standard deviation of the affine part's six numbers."""
    sigma_tps: float = Field(0.005, ge=0)
    """Standard deviation of the thin-plate control values."""
    points_tps: int = Field(5, ge=2)
    """Control points a side."""


class LossConfig(Frozen):
    """Weights of the loss terms that every family has; 0 switches a term off."""

    perceptual: tuple[float, ...] = (10.0, 10.0, 10.0, 10.0, 10.0)
    """One weight a slice of the perceptual network, relu1_1 to relu5_1."""
    reconstruction: float = Field(0.0, ge=0)
    """Mean absolute pixel difference. Not in the published model."""

    @property
    def looks(self) -> bool:
        """Whether some term looks at the picture: without one the network learns nothing."""
        return any(self.perceptual) or self.reconstruction > 0

    @model_validator(mode="after")
    def _pictures(self) -> LossConfig:
        if len(self.perceptual) != 5:
            raise ValueError(f"perceptual has {len(self.perceptual)} weights for five slices: 0 leaves one out")
        if not self.looks:
            raise ValueError("No loss compares the picture: give perceptual, reconstruction or generator_gan a weight")
        return self


class TrainConfig(Frozen):
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
    schedule: Literal["milestones", "cosine"] = "milestones"
    """How rates fall: at `epoch_milestones`, as published, or along half a cosine to 0 at the end of the training."""
    epoch_milestones: tuple[int, ...] = (60, 90)
    """Rates are multiplied by 0.1 at these epochs."""
    warmup_steps: int = Field(0, ge=0)
    """Rates rise to their value over this many first steps."""
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((1.0, 0.5, 0.25, 0.125), min_length=1)
    """Pyramid scales of the perceptual loss."""
    perceptual_network: Literal["vgg19", "compact"] = "vgg19"
    """`vgg19`: torchvision's, as published. `compact`: a 16 times smaller distillation."""
    transform: TransformConfig = TransformConfig()
    loss: SerializeAsAny[LossConfig] = LossConfig()
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


class AvdLoss(LossConfig):
    """Weights of the loss terms; none of them looks at a picture, and those that do are not shown."""

    perceptual: tuple[float, ...] = Field((0.0, 0.0, 0.0, 0.0, 0.0), exclude=True)
    reconstruction: float = Field(0.0, exclude=True)
    shift: float = Field(1.0, ge=0)
    """Points must come back to where they were before they were stretched."""

    @property
    def looks(self) -> bool:
        return self.shift > 0


class AvdTrain(TrainConfig):
    """The second stage, `fomm train avd`: the disentanglement network alone, on poses of a finished model."""

    stage: Literal["avd"] = "avd"
    """What tells this section from the first stage's."""
    num_repeats: int = Field(150, ge=1)
    """An epoch is every item this many times."""
    batch_size: int = Field(256, ge=2)
    """Pairs a step, over all processes."""
    lr_avd: float = Field(1e-3, ge=0)
    """Adam's rate for the disentanglement network."""
    epoch_milestones: tuple[int, ...] = (71, 91)
    """Rates are multiplied by 0.1 at these epochs."""
    random_scale: float = Field(0.25, ge=0, lt=1)
    """Driving poses are stretched by factors in [1 - r, 1 + r], x and y by their own: shapes that are to be undone."""
    loss: SerializeAsAny[AvdLoss] = AvdLoss()
    # Of pictures, which are not made here: without meaning, and so not shown.
    lr_generator: float = Field(0.0, exclude=True)
    scales: tuple[float, ...] = Field((1.0,), exclude=True)
    perceptual_network: Literal["vgg19", "compact"] = Field("vgg19", exclude=True)
    transform: TransformConfig = Field(TransformConfig(), exclude=True)
    balance: float = Field(0.0, exclude=True)

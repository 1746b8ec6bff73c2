"""The `model:` section of a LivePortrait; the defaults are the published network."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fomm_cli.model.config import Frozen, ModelConfig


class AppearanceConfig(Frozen):
    """The source picture to a volume of features."""

    block_expansion: int = Field(64, ge=1)
    """Width at full resolution, in channels; doubled by each down block."""
    max_features: int = Field(512, ge=1)
    """No block is wider, in channels; the last map has `channels` x `depth` of them."""
    num_down_blocks: int = Field(2, ge=0)
    """Each halves the map: the volume is this much smaller than the picture."""
    channels: int = Field(32, ge=1)
    """Channels of the volume."""
    depth: int = Field(16, ge=2)
    """Slices of the volume."""
    num_resblocks: int = Field(6, ge=0)
    """Residual blocks over the volume."""


class DetectorConfig(Frozen):
    """The picture to the head's pose: a ConvNeXt V2."""

    depths: tuple[int, int, int, int] = (3, 3, 9, 3)
    """Blocks of each stage."""
    widths: tuple[int, int, int, int] = (96, 192, 384, 768)
    """Channels of each stage."""


class DenseMotionConfig(Frozen):
    """Keypoints to one flow of the volume and an occlusion map."""

    block_expansion: int = Field(32, ge=1)
    """Width of the hourglass's first block, in channels."""
    max_features: int = Field(1024, ge=1)
    """No block of the hourglass is wider, in channels."""
    num_blocks: int = Field(5, ge=1)
    """Down blocks (and up blocks) of the hourglass; each halves height and width, never the depth."""
    compress: int = Field(4, ge=1)
    """The hourglass sees the volume in this many channels."""
    kp_variance: float = Field(0.01, gt=0)
    """Variance of the keypoint Gaussians, in squared units of [-1, 1]."""


class GeneratorConfig(Frozen):
    """The warped volume to a picture: residual blocks normalised by the volume's own maps (SPADE)."""

    features: int = Field(256, ge=1)
    """Maps made of the warped volume; the blocks in the middle are twice as wide."""
    hidden: int = Field(128, ge=1)
    """Maps between the volume's and each normalisation's scale and shift."""
    last: int = Field(64, ge=1)
    """Width of the last block, at half the resolution of the picture."""
    num_middle_blocks: int = Field(6, ge=0)
    """Blocks at the resolution of the volume."""


class StitchingConfig(Frozen):
    """Three small networks on keypoints: a frame that joins its source, lips and eyes opened as wide as told."""

    stitching: tuple[int, ...] = (128, 128, 64)
    """Hidden widths."""
    lip: tuple[int, ...] = (128, 128, 64)
    """Hidden widths."""
    eyes: tuple[int, ...] = (256, 256, 128, 128, 64)
    """Hidden widths."""


class PortraitOptions(Frozen):
    """What can be asked of an animation, beside its mode."""

    region: Literal["all", "exp", "pose", "lip", "eyes"] = "all"
    """What the driving moves: everything, the face, the head, the lips, the eyes."""
    stitching: bool = True
    """Keep shoulders and the picture's border where the source has them."""
    multiplier: float = Field(1.0, ge=0, le=3)
    """How much of the movement, after all else."""
    eyes: Annotated[float, Field(ge=0, le=0.8)] | Literal["driving"] | None = None
    """How wide the eyes open, height over width: in every frame (0 shut, 0.3 open), or as wide as the driving's left
    one is seen to be; None: as its expression moves them."""
    lip: Annotated[float, Field(ge=0, le=1)] | Literal["driving"] | None = None
    """How wide the lips open, height over width: in every frame (0 closed, 0.6 wide), or as wide as the driving's are
    seen to be; None: as its expression moves them."""
    rest: Literal["none", "lip", "eyes", "all"] = "none"
    """What of the source's own is put at rest beneath the movement: lips that stand open are closed; the eyes of a
    source clip stay as open as in its first frame."""
    smoothing: float = Field(3e-7, ge=0)
    """Source clips: the variance that turns and expressions are smoothed by; larger is smoother, 0 does not."""

    @model_validator(mode="after")
    def _one_hand(self) -> Self:
        if self.rest != "none" and (self.eyes is not None or self.lip is not None):
            raise ValueError("rest goes without eyes and lip, which say themselves how they stand")
        return self


class LivePortraitConfig(ModelConfig):
    """The architecture of a LivePortrait."""

    family: Literal["live_portrait"] = "live_portrait"
    """The family of motion models: a folder of `model/`."""
    num_channels: Literal[3] = 3
    """Image channels."""
    align_corners: Literal[False] = False
    """The warp's convention: the published weights were trained with -1 and 1 as the outer corners."""
    num_kp: int = Field(21, ge=1)
    """Keypoints, in space."""
    appearance: AppearanceConfig = AppearanceConfig()
    detector: DetectorConfig = DetectorConfig()
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    stitching: StitchingConfig = StitchingConfig()

    @property
    def points(self) -> int:
        return self.num_kp

    @property
    def divisor(self) -> int:
        """The detector halves the picture five times, the hourglass halves the volume, which is a quarter of it."""
        return max(32, 2 ** (self.appearance.num_down_blocks + self.dense_motion.num_blocks))

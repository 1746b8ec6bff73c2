"""The `model` and `train` sections of articulated regions. The defaults are those of the published taichi-256."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, SerializeAsAny, model_validator

from fomm_cli.model.config import (
    AvdLoss,
    AvdTrain,
    DenseMotionConfig,
    Frozen,
    HourglassConfig,
    LossConfig,
    ModelConfig,
    TrainConfig,
)


class RegionDetectorConfig(HourglassConfig):
    """An hourglass over the down-sampled image, then one heat map a region."""

    block_expansion: int = Field(32, ge=1)
    """Width of the hourglass's first block, in channels."""
    temperature: float = Field(0.1, gt=0)
    """The spatial softmax divides its input by this: smaller is sharper."""
    scale_factor: float = Field(0.25, gt=0, le=1)
    """The detector sees the image at this scale: 1, 0.5, 0.25, 0.125."""
    pca: bool = True
    """A region's axes are the principal axes of its heat map; false: see `model.estimate_jacobian`."""
    pad: int = Field(0, ge=0)
    """Padding of the 7x7 heads, in pixels of the heat map. 3 in the published vox-256, 0 in all others."""


class BackgroundConfig(Frozen):
    """The motion of the background between two frames, seen at full size; in training and reconstruction only."""

    type: Literal["zero", "shift", "affine", "perspective"] = "affine"
    """What the background may do. `zero`: it stands still, and there is no such network."""
    block_expansion: int = Field(32, ge=1)
    """Half the width of the first block, in channels."""
    max_features: int = Field(1024, ge=1)
    """No block is wider, in channels."""
    num_blocks: int = Field(5, ge=1)
    """Down blocks; each halves the map."""


class RegionMotionConfig(DenseMotionConfig):
    """Regions to one dense flow and an occlusion map."""

    revert_axis_swap: bool = True
    """Undo a common flip of both axes of a region between source and driving."""
    covariance_evidence: bool = True
    """A region shows the network a Gaussian of its own extent, instead of a round one of `region_variance`."""
    region_variance: float = Field(0.01, gt=0)
    """Variance of the round Gaussians, in squared units of [-1, 1]."""
    deformed_source: bool = True
    """The network also sees the source as each region would move it."""


class RegionGeneratorConfig(Frozen):
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
    """A map of what the source shows: there the warped source counts, elsewhere what the network made up."""
    skips: bool = True
    """The warped source enters at every scale, the picture's own included, and not only before the bottleneck."""


class AvdConfig(Frozen):
    """The disentanglement network of `--mode avd`, which a second stage trains: `fomm train avd`."""

    id_bottle_size: int = Field(64, ge=1)
    """Numbers that carry the identity."""
    pose_bottle_size: int = Field(64, ge=1)
    """Numbers that carry the pose."""


class RegionsConfig(ModelConfig):
    """The architecture."""

    family: Literal["regions"] = "regions"
    """The family of motion models."""
    num_regions: int = Field(10, ge=1, le=500)
    """Regions."""
    estimate_jacobian: bool = True
    """Without `detector.pca`: axes from a learned map (true), or none and places only (false)."""
    align_corners: bool = False
    """The warp's convention: -1 and 1 are the centres of the corner pixels (true) or the corners themselves (false)."""
    detector: RegionDetectorConfig = RegionDetectorConfig()
    background: BackgroundConfig = BackgroundConfig()
    dense_motion: RegionMotionConfig = RegionMotionConfig()
    generator: RegionGeneratorConfig = RegionGeneratorConfig()
    avd: AvdConfig = AvdConfig()

    @property
    def axes(self) -> Literal["pca", "regression", "none"]:
        """Where a region's axes come from."""
        if self.detector.pca:
            return "pca"
        return "regression" if self.estimate_jacobian else "none"

    @property
    def points(self) -> int:
        """Points of a pose."""
        return self.num_regions

    @property
    def divisor(self) -> int:
        """Each hourglass sees the image at its scale and halves that; generator and background halve the image."""
        halvings = [self.generator.num_down_blocks]
        if self.background.type != "zero":
            halvings.append(self.background.num_blocks)
        for part in (self.detector, self.dense_motion):
            halvings.append(part.num_blocks + round(math.log2(1 / part.scale_factor)))
        return 2 ** max(halvings)

    @model_validator(mode="after")
    def _extent_needs_axes(self) -> RegionsConfig:
        if self.axes == "none" and self.dense_motion.covariance_evidence:
            raise ValueError("dense_motion.covariance_evidence needs axes, which are none")
        return self


class RegionsLoss(LossConfig):
    """Weights of the loss terms; 0 switches a term off."""

    equivariance_value: float = Field(10.0, ge=0)
    """Regions must move with the picture."""
    equivariance_jacobian: float = Field(10.0, ge=0)
    """Their axes must turn with the picture, either way round."""


class RegionsAvdLoss(AvdLoss):
    """Weights of the second stage's terms; none of them looks at a picture."""

    affine: float = Field(1.0, ge=0)
    """Axes must come back to what they were before they were stretched."""


class RegionsAvdTrain(AvdTrain):
    """The second stage, `fomm train avd`: the disentanglement network alone, on regions of a finished model."""

    num_epochs: int = Field(30, ge=1)
    """Epochs to train."""
    epoch_milestones: tuple[int, ...] = (21, 26)
    """Rates are multiplied by 0.1 at these epochs."""
    loss: SerializeAsAny[RegionsAvdLoss] = RegionsAvdLoss()


class RegionsTrain(TrainConfig):
    """The optimisation: one Adam's rate for all networks."""

    num_repeats: int = Field(150, ge=1)
    """An epoch is every item this many times."""
    batch_size: int = Field(14, ge=1)
    """Pairs a step, over all processes."""
    lr_generator: float = Field(2e-4, ge=0)
    """Adam's rate, of all networks."""
    loss: SerializeAsAny[RegionsLoss] = RegionsLoss()
    avd: RegionsAvdTrain = RegionsAvdTrain()
    """The second stage, `fomm train avd`."""

"""What a model is and how it is trained: frozen pydantic models, every section, every key, every range.

A key has one spelling everywhere: the field here, the YAML key, the `--set` path, the loss function, the log key
and the key stored beside the weights. The defaults are those of the published vox-256.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

from fomm_cli.errors import FommError
from fomm_cli.model.config import Frozen, ModelConfig, TrainConfig
from fomm_cli.model.families import family_of
from fomm_cli.model.family import FRAMING, Usual
from fomm_cli.model.relative import Reach


class AugmentationConfig(Frozen):
    """Random changes, drawn once for both frames of a pair."""

    time_flip: bool = True
    """Swap source and driving half of the time."""
    horizontal_flip: bool = True
    """Mirror half of the pairs that were not swapped, as published: one in four beside time_flip, never both."""
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


class DataConfig(Frozen):
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


Size = Annotated[float, Field(ge=0, le=100)]


class AnimateConfig(Frozen):
    """How the authors of a model would animate with it."""

    mode: Literal["relative", "absolute", "avd"] = "relative"
    """Relative: the driving's change since its anchor is applied to the source's pose. Avd: by a network of its own."""
    adapt_scale: bool = True
    """Scale movements by the ratio of the hulls of the two keypoint sets."""
    framing: float | None = Field(FRAMING, ge=1, le=8)
    """Side of the square that shows a face as in training, in longer sides of the head's box; null: no faces there."""
    reach: tuple[Size, Size] | None = None
    """How far points and frames move in what the network was trained on, see `Reach`; what `--clamp` goes by."""

    @property
    def usual(self) -> Usual:
        return Usual(self.mode, self.adapt_scale, self.framing, None if self.reach is None else Reach(*self.reach))


class Config(Frozen):
    """Everything: stored beside the weights, so that nothing else is needed to load them."""

    name: str = "custom"
    """The preset's name."""
    description: str = ""
    """One line: what it is for."""
    model: SerializeAsAny[ModelConfig] = Field({}, validate_default=True)
    data: DataConfig = DataConfig()
    train: SerializeAsAny[TrainConfig] = Field({}, validate_default=True)
    animate: AnimateConfig = AnimateConfig()

    @field_validator("model", mode="before")
    @classmethod
    def _of_its_family(cls, value: Any) -> Any:
        """The section in its family's own class: `family` tells which, as files before it did not need to."""
        if not isinstance(value, dict):
            return value
        tree = {key: inner for key, inner in value.items() if key != "motion"}  # what `family` was called once
        try:
            return family_of(tree).Config.model_validate(tree)
        except FommError as error:
            raise ValueError(str(error)) from error

    @field_validator("train", mode="before")
    @classmethod
    def _trained_as_its_family(cls, value: Any, info: ValidationInfo) -> Any:
        if "model" not in info.data:  # it is told what is wrong with that; of this section nothing can be said yet
            return TrainConfig()
        if not isinstance(value, dict):
            return value
        family = family_of(info.data["model"])
        if value.get("stage") == "avd":
            if family.AvdTrain is None:
                raise ValueError(f"{family.title} has no second stage")
            return family.AvdTrain.model_validate(value)
        return family.Train.model_validate(value)

    @model_validator(mode="after")
    def _sizes_divide(self) -> Config:
        if any(side % self.model.divisor for side in self.data.frame_shape):
            height, width = self.data.frame_shape
            raise ValueError(
                f"data.frame_shape is {height} x {width}, but this network halves its maps so often that both sides "
                f"must be multiples of {self.model.divisor}"
            )
        return self

    def to_yaml(self) -> str:
        """The whole config as YAML text that `load` reads back to an equal config."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

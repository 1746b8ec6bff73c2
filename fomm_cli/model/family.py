"""What the house asks a family of motion models: everything that differs from one to the next, and nothing else.

A family is one folder of `model/` with one subclass of `Family` in its `family.py`. Nothing here needs torch: the
networks, the training and the ways in for published checkpoints stand behind doors that import when they are opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from fomm_cli.errors import FommError, nearest
from fomm_cli.model.config import AvdTrain, Frozen, ModelConfig, TrainConfig
from fomm_cli.model.published import Published
from fomm_cli.model.relative import Reach, Space

if TYPE_CHECKING:
    from fomm_cli.model.network import AnimationModel
    from fomm_cli.model.training import Training


FRAMING = 1.6
"""Side of the square around a face, in longer sides of the box around its head, where nobody says otherwise."""


class Usual(NamedTuple):
    """How the makers of some weights animate with them: the config's section `animate`, which says what each means."""

    mode: str = "relative"
    adapt_scale: bool = True
    framing: float | None = FRAMING
    reach: Reach | None = None


class Family(ABC):
    """One family of motion models.

    A pose is a NamedTuple of batch-first arrays (numpy outside the networks, torch inside) whose first field, `value`
    (B, K, 2 or 3), holds points in [-1, 1]; other fields may be None. The house walks the fields and names none.
    """

    name: ClassVar[str]
    """The tag `model.family` of configs and weights."""
    title: ClassVar[str]
    """For people: "first order motion"."""
    Config: ClassVar[type[ModelConfig]]
    """The `model` section."""
    Train: ClassVar[type[TrainConfig]] = TrainConfig
    """The `train` section."""
    AvdTrain: ClassVar[type[AvdTrain] | None] = None
    """The `train` section of the second stage, where a family has mode avd."""
    Pose: ClassVar[Any]
    """The pose's class."""
    parts: ClassVar[tuple[str, ...]]
    """Networks that a weights file must hold: the first words of its tensors' names."""
    optional_parts: ClassVar[tuple[str, ...]] = ()
    """Networks that it may hold as well."""
    modes: ClassVar[tuple[str, ...]] = ("relative", "absolute")
    """Ways to carry a motion over; the first is the usual one."""
    always_scales: ClassVar[bool] = False
    """Whether relative motion is always scaled by the sizes of the two poses, as its authors have it."""
    untrainable: ClassVar[str] = ""
    """The sentence why it cannot be trained here; empty where it can."""
    Options: ClassVar[type[Frozen]] = Frozen
    """What can be asked of its transfer beside mode and scale; most families have nothing to ask."""
    takes_clips: ClassVar[bool] = False
    """Whether the source may be a clip, whose own motion is then redirected frame by frame."""
    meets_border: ClassVar[bool] = False
    """Whether its results fit what surrounds the crop by themselves, as stitching makes them."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Fields of the pose that no network of its own fills, and that may be missing: `openness`, see `opened`."""
    heeds_openness = False
    """Whether, as it is configured, it has to know that of the source."""
    follows_openness = False
    """Whether, as it is configured, it has to know that of the driving."""
    crop: ClassVar[str] = "auto"
    """How pictures are cut for it where nobody says: a word of `animate.crops`; auto: by the weights' framing."""

    def __init__(self, options: Frozen | None = None) -> None:
        self.options = options or self.Options()

    def configured(self, pairs: Sequence[str]) -> Self:
        """The family with these options: KEY=VALUE each. FommError for what it does not know."""
        tree = {}
        for pair in pairs:
            key, is_pair, value = pair.partition("=")
            if not is_pair or key not in self.Options.model_fields:
                known = list(self.Options.model_fields)
                hint = f"{nearest(key, known)} Write KEY=VALUE." if known else "Leave it out."
                raise FommError(f"{self.title} has no option {pair!r}.", hint)
            tree[key] = value
        try:
            return type(self)(self.Options.model_validate(tree))
        except ValidationError as error:
            found = error.errors()
            where = f"{found[0]['loc'][0]}: " if found[0]["loc"] else ""
            said = ", or: ".join(dict.fromkeys(each["msg"].removeprefix("Value error, ") for each in found))
            raise FommError(f"{where}{said}.", "See the page of these weights.") from error

    def check_asked(self, mode: str, clip: bool) -> None:
        """Refuse what, as it is configured, cannot be done in this mode or to this source, a picture or a clip."""
        self.check_mode(mode)

    def opened(self, poses: Any, openness: NDArray[np.float64]) -> Any:
        """Poses of batch B with how open the left eye, the right eye and the lips of their frames are, (B, 3)."""
        return poses

    def transfer(
        self, source: Any, driving: Any, initial: Any = None, mode: str = "relative", adapt_scale: bool = True
    ) -> Any:
        """The poses to render with, arrays or tensors as `driving`.

        source, initial  of batch 1 (or B); `initial` is the driving pose that stands for the source's
        driving          of batch B
        mode             relative: the source's pose, moved as the driving has since `initial`
                         absolute: the driving pose as it is
        adapt_scale      relative: movements grow or shrink with the sizes of the source's pose and of `initial`
        """
        self.check_mode(mode)
        if mode == "absolute":
            return driving
        if initial is None:
            raise ValueError("relative motion needs the initial driving pose")
        return self.carry(source, driving, initial, adapt_scale)

    def redirect(self, source: Any, driving: Any, initial: Any, mode: str) -> Any:
        """As `transfer`, of a whole source clip, a pose a frame (batch B), where the family `takes_clips`.

        driving   of batch B, or of batch 1: a picture, which drives every frame
        """
        raise FommError(f"{self.title} animates pictures, not clips.", "Name a picture first and the clip second.")

    def resting(self, driving: Any, clip: bool = False) -> Any:
        """The pose that stands for the source's where the driving is a single picture: as a rule its own.

        clip   whether the source is one
        """
        return driving

    def settle(self, engine: Any, source: Any, driving: Any) -> Any:
        """The last word on transferred poses, by the engine's networks as far as the family has any."""
        return engine.settle(source, driving)

    def check_mode(self, mode: str) -> None:
        """Refuse a mode that this family does not have."""
        if mode not in self.modes:
            raise FommError(f"There is no mode {mode!r} in {self.title}.", nearest(mode, list(self.modes)))

    @abstractmethod
    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        """Relative motion; see `transfer`."""

    @abstractmethod
    def distance(self, source: Any, driving: Any) -> NDArray[np.float64]:
        """How far each driving pose (batch B) is from the source's (batch 1), place and size apart; (B,)."""

    def space(self, anchor: Any) -> Space:
        """Poses relative to `anchor` as numbers that may be scaled, averaged and filtered; see `Space`."""
        raise FommError(f"The poses of {self.title} have no relative space: they cannot be edited.", "Use the clip.")

    def pose_fields(self, config: Any) -> list[str]:
        """Fields of a pose that a network of this config fills, in order; the others are None."""
        return [name for name in self.Pose._fields if name not in self.beside]

    def fusable(self, config: Any) -> bool:
        """Whether the fused engine can run a network of this config."""
        return False

    @abstractmethod
    def network(self, config: Any, size: tuple[int, int]) -> AnimationModel:
        """An untrained network for frames of `size` = (H, W)."""

    def training(self) -> Training:
        """Its loss terms, optimisers and discriminator."""
        raise FommError(self.untrainable or f"{self.name} brings no training.", "Its weights animate as they are.")

    def published(self) -> Published | None:
        """The way in for checkpoints and configs of its authors' repository; None where there is none."""
        return None

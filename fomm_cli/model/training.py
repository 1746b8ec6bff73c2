"""How a family is trained: what a step has at hand, the loss terms that look at it, the optimisers' groups.

A loss term is a function and a field: `TERMS["name"]` here or in the family's `training.py` takes the scene of a step
and its weight, `train.loss.name`, one number or one a layer, and gives the weighted scalar. The log calls it so too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fomm_cli.model import losses
from fomm_cli.model.blocks import ImagePyramid
from fomm_cli.model.config import ModelConfig, TrainConfig
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.types import Rendering


class Progress(NamedTuple):
    """Where a training stands: the seed of the run, updates made, epochs finished."""

    seed: int = 0
    step: int = 0
    epoch: int = 0


class Scene:
    """One step, for its loss terms to look at; what not every term needs is computed when the first one asks.

    source, driving            (B, 3, H, W) in [0, 1]
    pose_source, pose_driving  detected in them
    rendering                  the source in the driving pose
    transform                  the random warp of the equivariance losses, of batch B
    pairs                      (B,): how much each pair counts in the image losses; None: all the same
    perceptual                 the frozen feature network
    discriminator              judged by, not trained here; None without a GAN term
    kept                       what one term computed and another wants too
    """

    def __init__(
        self,
        model: AnimationModel,
        train: TrainConfig,
        source: Tensor,
        driving: Tensor,
        poses: tuple[Any, Any],
        rendering: Rendering,
        transform: SmoothTransform,
        pyramid: ImagePyramid,
        perceptual: nn.Module | None,
        discriminator: nn.Module | None,
    ) -> None:
        self.model, self.train = model, train
        self.source, self.driving = source, driving
        self.pose_source, self.pose_driving = poses
        self.rendering, self.transform = rendering, transform
        self.pyramid, self.perceptual, self.discriminator = pyramid, perceptual, discriminator
        self.kept: dict[str, Any] = {}
        self.pairs = losses.pair_weights(source, driving, train.balance)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that networks run in."""
        return torch.autocast(self.source.device.type, torch.bfloat16, enabled=self.train.precision == "bf16")

    @cached_property
    def pose_transformed(self) -> Any:
        """Detected in the driving frame under `transform`: a batch-norm batch of its own, as published."""
        frame = self.transform.frame(self.driving, self.model.config.align_corners)
        with self.autocast():
            return self.model.detect(frame)


Term = Callable[[Scene, Any], Tensor]
"""(scene, weight) -> the weighted scalar."""


def _perceptual(scene: Scene, weight: tuple[float, ...]) -> Tensor:
    assert scene.perceptual is not None
    # The pyramid outside autocast: bf16 would round the pictures to 8 bits before they are compared.
    made, true = scene.pyramid(scene.rendering.prediction), scene.pyramid(scene.driving)
    with scene.autocast():
        return losses.perceptual(scene.perceptual, made, true, weight, scene.pairs)


def _reconstruction(scene: Scene, weight: float) -> Tensor:
    return weight * losses.reconstruction(scene.rendering.prediction, scene.driving, scene.pairs)


TERMS: dict[str, Term] = {"perceptual": _perceptual, "reconstruction": _reconstruction}


class Group(NamedTuple):
    """Parameters under one optimiser.

    rate          Adam's
    weight_decay  Adam's
    clip          (order of the norm, limit) of the gradients; a limit of 0 does not clip
    from_epoch    updates begin here
    frozen        the weights take no gradient at all
    """

    parameters: list[nn.Parameter]
    rate: float
    weight_decay: float = 0.0
    clip: tuple[float, float] = (2.0, 0.0)
    from_epoch: int = 0
    frozen: bool = False


class Training:
    """What a family brings to `fomm train`. Its own terms come after those that every family has."""

    terms: Mapping[str, Term] = {}

    def active(self, config: Any, train: Any) -> dict[str, Term]:
        """The terms of the generator's half of a step that count with these sections, in the order they are summed."""
        known = {**TERMS, **self.terms}
        return {name: known[name] for name in known if _counts(getattr(train.loss, name))}

    def groups(self, model: Any, train: Any) -> dict[str, Group]:
        """The optimisers of the generator's half, by name."""
        raise NotImplementedError

    def forward(
        self, model: Any, source: Tensor, driving: Tensor, progress: Progress
    ) -> tuple[tuple[Any, Any], Rendering]:
        """Both poses and the source in the driving one, in train mode."""
        # One call each: every image is a batch-norm batch of its own, as published (one merged call would change the
        # results by percents).
        poses = model.detect(source), model.detect(driving)
        background = model.background(source, driving)
        return poses, model.render(model.encode(source), *poses, background=background, deformed=False)

    def judged(self, train: Any) -> bool:
        """Whether a discriminator is trained too."""
        return False

    def discriminator(self, config: ModelConfig) -> nn.Module:
        """An untrained discriminator."""
        raise NotImplementedError

    def judge(self, discriminator: nn.Module, train: Any) -> tuple[nn.Module, Group]:
        """The discriminator's half of a step, (prediction, driving, pose_driving) -> the weighted scalar; its group."""
        raise NotImplementedError


def _counts(weight: Any) -> bool:
    return any(weight) if isinstance(weight, tuple) else bool(weight)

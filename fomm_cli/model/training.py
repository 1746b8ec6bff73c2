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
from fomm_cli.model.config import AvdTrain, ModelConfig, TrainConfig
from fomm_cli.model.family import Family
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.model.network import AnimationModel


class Progress(NamedTuple):
    """Where a training stands: the seed of the run, updates made, epochs finished."""

    seed: int = 0
    step: int = 0
    epoch: int = 0


class Pass(NamedTuple):
    """What the networks made of a step's pairs.

    pose_source, pose_driving  detected
    background                 (B, 3, 3) as `AnimationModel.background` found it; None where it was not looked at
    encoded                    of the source
    rendering                  the source in the driving pose
    disentangled               the driving pose after a detour, see `AvdTraining`
    """

    pose_source: Any
    pose_driving: Any
    background: Tensor | None = None
    encoded: Any = None
    rendering: Any = None
    disentangled: Any = None


class Scene:
    """One step, for its loss terms to look at; what not every term needs is computed when the first one asks.

    source, driving            (B, 3, H, W) in [0, 1]
    made                       by the networks; its fields are the scene's too
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
        made: Pass,
        transform: SmoothTransform,
        pyramid: ImagePyramid,
        perceptual: nn.Module | None,
        discriminator: nn.Module | None,
    ) -> None:
        self.model, self.train = model, train
        self.source, self.driving = source, driving
        self.pose_source, self.pose_driving, self.background, self.encoded, self.rendering, self.disentangled = made
        self.transform = transform
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


def _shift(scene: Scene, weight: float) -> Tensor:
    return weight * losses.mean_difference(scene.disentangled.value, scene.pose_driving.value)


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
    avd_terms: Mapping[str, Term] = {"shift": _shift}
    """Those of the second stage, where there is one."""
    adds: tuple[str, ...] = ()
    """Optional parts of the network that are trained, and may begin at random whatever --init holds."""
    validates: bool = True
    """Whether what is trained shows in a reconstruction."""
    euclidean: bool = False
    """The kind of the equivariance losses' random warps, see `SmoothTransform`."""

    def stretched(self, pose: Any, factors: Tensor) -> Any:
        """A pose under a change of shape: x and y times their own factor, (B, 2)."""
        return pose._replace(value=pose.value * factors[:, None])

    def uniforms(self, config: Any) -> int:
        """How many uniform random numbers `forward` is given for each pair."""
        return 0

    def active(self, config: Any, train: Any) -> dict[str, Term]:
        """The terms of the generator's half of a step that count with these sections, in the order they are summed."""
        known = {**TERMS, **self.terms}
        return {name: known[name] for name in known if _counts(getattr(train.loss, name))}

    def groups(self, model: Any, train: Any) -> dict[str, Group]:
        """The optimisers of the generator's half, by name."""
        raise NotImplementedError

    def forward(
        self, model: Any, train: Any, source: Tensor, driving: Tensor, progress: Progress, uniform: Tensor
    ) -> Pass:
        """Both poses and the source in the driving one, in train mode.

        uniform  (B, `uniforms`) in [0, 1)
        """
        # One call each: every image is a batch-norm batch of its own, as published (one merged call would change the
        # results by percents).
        poses = model.detect(source), model.detect(driving)
        background, encoded = model.background(source, driving), model.encode(source)
        rendering = model.render(encoded, *poses, background=background, deformed=False)
        return Pass(*poses, background, encoded, rendering)

    def judged(self, train: Any) -> bool:
        """Whether a discriminator is trained too."""
        return False

    def discriminator(self, config: ModelConfig) -> nn.Module:
        """An untrained discriminator."""
        raise NotImplementedError

    def judge(self, discriminator: nn.Module, train: Any) -> tuple[nn.Module, Group]:
        """The discriminator's half of a step, (prediction, driving, pose_driving) -> the weighted scalar; its group."""
        raise NotImplementedError


class AvdTraining(Training):
    """The second stage: from a driving pose of another shape and the source's pose, the driving pose as it was.

    So the network learns to take pose from the one and shape from the other (arXiv 2104.11280, section 4.4). All others
    rest, in eval mode: the original lets the batch statistics of its detector move meanwhile.

    first   of the family: how its poses are stretched and compared
    """

    adds = ("avd",)
    validates = False

    def __init__(self, first: Training) -> None:
        self.first = first
        self.terms = first.avd_terms

    def active(self, config: Any, train: Any) -> dict[str, Term]:
        return {name: term for name, term in self.terms.items() if _counts(getattr(train.loss, name))}

    def uniforms(self, config: Any) -> int:
        return 2

    def groups(self, model: Any, train: Any) -> dict[str, Group]:
        return {"avd": Group(list(model.avd.parameters()), train.lr_avd, clip=(2.0, train.clip_grad_norm))}

    def forward(
        self, model: Any, train: Any, source: Tensor, driving: Tensor, progress: Progress, uniform: Tensor
    ) -> Pass:
        model.eval()
        model.avd.train()
        with torch.no_grad():
            poses = model.detect(source), model.detect(driving)
        factors = 1 + train.random_scale * (2 * uniform - 1)
        return Pass(*poses, disentangled=model.disentangle(poses[0], self.first.stretched(poses[1], factors)))


def recipe_of(family: Family, train: TrainConfig) -> Training:
    """How a network of this family is trained by this section."""
    return AvdTraining(family.training()) if isinstance(train, AvdTrain) else family.training()


def _counts(weight: Any) -> bool:
    return any(weight) if isinstance(weight, tuple) else bool(weight)

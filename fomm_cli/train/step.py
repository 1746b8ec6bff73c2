"""What one training step computes: the losses of the generator's half, by the terms that the family brings.

Networks run under autocast where the config says bf16; heat maps, Jacobians, coordinates, the discriminator (spectral
norm and least squares) and every loss stay in float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fomm_cli.config.schema import Config
from fomm_cli.model import losses
from fomm_cli.model.blocks import ImagePyramid
from fomm_cli.model.config import TransformConfig
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pose import mapped
from fomm_cli.model.training import Progress, Scene, recipe_of


class Outcome(NamedTuple):
    """What the generator's half of a step gives.

    total         scalar: the sum of the weighted terms
    terms         the weighted terms by name, each a detached scalar
    prediction    (B, 3, H, W), detached; None where no picture is made
    pose_driving  detached, for a discriminator that looks at keypoints
    spread        scalar: mean distance between two keypoints, a measure of health
    """

    total: Tensor
    terms: dict[str, Tensor]
    prediction: Tensor | None
    pose_driving: Any
    spread: Tensor


def draw_transform(
    config: TransformConfig, batch: int, like: Tensor, seed: int, step: int, euclidean: bool = False
) -> SmoothTransform:
    """The random warps of a step's whole batch: a function of seed and step alone, whatever was drawn before.

    A resumed run therefore draws what an uninterrupted one would, and each of several processes takes its slice of
    what one process would draw.
    """
    source = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    sizes = config.sigma_affine, config.sigma_tps, config.points_tps
    return SmoothTransform.draw(batch, *sizes, like, source, euclidean)


def draw_uniform(count: int, batch: int, like: Tensor, seed: int, step: int) -> Tensor:
    """(batch, count) numbers in [0, 1), likewise; a stream of their own, so that neither draw depends on the other."""
    source = torch.Generator().manual_seed((seed * 1_000_003 + step + 2**62) % 2**63)
    return torch.rand(batch, count, generator=source).to(like)


class GeneratorPass(nn.Module):
    """Losses of everything but the discriminator; its forward is what distribution and compilation wrap.

    model          trained
    perceptual     frozen feature network, or None where every slice's weight is 0
    discriminator  judged by, not trained here; None without a GAN term. Not a submodule: its weights are not ours
    """

    def __init__(
        self, config: Config, model: AnimationModel, perceptual: nn.Module | None, discriminator: nn.Module | None
    ) -> None:
        super().__init__()
        self.model = model
        self.train_config = config.train
        self.recipe = recipe_of(model.family, config.train)
        self.terms = self.recipe.active(config.model, config.train)
        self.perceptual = perceptual
        self.pyramid = ImagePyramid(config.train.scales, config.model.num_channels)
        self._judge = (discriminator,)  # a tuple hides it from nn.Module

    def forward(
        self,
        source: Tensor,
        driving: Tensor,
        transform: SmoothTransform,
        progress: Progress = Progress(),
        uniform: Tensor | None = None,
    ) -> Outcome:
        """
        source, driving  (B, 3, H, W) in [0, 1]
        transform        of batch B
        uniform          (B, n) in [0, 1), as many as the family's training asks for
        """
        if uniform is None:
            uniform = source.new_empty(source.shape[0], 0)
        train = self.train_config
        with torch.autocast(source.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
            made = self.recipe.forward(self.model, train, source, driving, progress, uniform)
        scene = Scene(
            self.model, train, source, driving, made, transform, self.pyramid, self.perceptual, self._judge[0]
        )
        terms = {name: term(scene, getattr(train.loss, name)) for name, term in self.terms.items()}
        pose = mapped(scene.pose_driving, Tensor.detach)
        return Outcome(
            torch.stack(list(terms.values())).sum(),
            {name: value.detach() for name, value in terms.items()},
            None if made.rendering is None else made.rendering.prediction.detach(),
            pose,
            losses.keypoint_spread(pose.value),
        )

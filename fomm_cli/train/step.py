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
from fomm_cli.model.training import Progress, Scene


class Outcome(NamedTuple):
    """What the generator's half of a step gives.

    total         scalar: the sum of the weighted terms
    terms         the weighted terms by name, each a detached scalar
    prediction    (B, 3, H, W), detached
    pose_driving  detached, for a discriminator that looks at keypoints
    spread        scalar: mean distance between two keypoints, a measure of health
    """

    total: Tensor
    terms: dict[str, Tensor]
    prediction: Tensor
    pose_driving: Any
    spread: Tensor


def draw_transform(config: TransformConfig, batch: int, like: Tensor, seed: int, step: int) -> SmoothTransform:
    """The random warps of a step's whole batch: a function of seed and step alone, whatever was drawn before.

    A resumed run therefore draws what an uninterrupted one would, and each of several processes takes its slice of
    what one process would draw.
    """
    source = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    return SmoothTransform.draw(batch, config.sigma_affine, config.sigma_tps, config.points_tps, like, source)


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
        self.training_of = model.family.training()
        self.terms = self.training_of.active(config.model, config.train)
        self.perceptual = perceptual
        self.pyramid = ImagePyramid(config.train.scales, config.model.num_channels)
        self._judge = (discriminator,)  # a tuple hides it from nn.Module

    def forward(
        self, source: Tensor, driving: Tensor, transform: SmoothTransform, progress: Progress = Progress()
    ) -> Outcome:
        """
        source, driving  (B, 3, H, W) in [0, 1]
        transform        of batch B
        """
        train = self.train_config
        with torch.autocast(source.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
            poses, rendering = self.training_of.forward(self.model, source, driving, progress)
        scene = Scene(
            self.model,
            train,
            source,
            driving,
            poses,
            rendering,
            transform,
            self.pyramid,
            self.perceptual,
            self._judge[0],
        )
        terms = {name: term(scene, getattr(train.loss, name)) for name, term in self.terms.items()}
        pose = mapped(scene.pose_driving, Tensor.detach)
        return Outcome(
            torch.stack(list(terms.values())).sum(),
            {name: value.detach() for name, value in terms.items()},
            rendering.prediction.detach(),
            pose,
            losses.keypoint_spread(pose.value),
        )

"""What one training step computes: the losses of generator and keypoint detector, then those of the discriminator.

Networks run under autocast where the config says bf16; heat maps, Jacobians, coordinates, the discriminator (spectral
norm and least squares) and every loss stay in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fomm_cli.config.schema import Config, LossConfig, TransformConfig
from fomm_cli.model.discriminator import Discriminator, ImagePyramid
from fomm_cli.model.geometry import SmoothTransform, inverse_2x2, product_2x2
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.model.types import Keypoints
from fomm_cli.train import losses

GENERATOR_TERMS = (
    "perceptual",
    "reconstruction",
    "generator_gan",
    "feature_matching",
    "equivariance_value",
    "equivariance_jacobian",
)
"""Weighted terms of the first half of the step, in the order they are summed."""


class Outcome(NamedTuple):
    """What the generator's half of a step gives.

    total       scalar: the sum of the weighted terms
    terms       the weighted terms by name, each a detached scalar
    prediction  (B, 3, H, W), detached
    kp_driving  detached, for a discriminator that looks at keypoints
    spread      scalar: mean distance between two keypoints, a measure of health
    """

    total: Tensor
    terms: dict[str, Tensor]
    prediction: Tensor
    kp_driving: Keypoints
    spread: Tensor


def draw_transform(config: TransformConfig, batch: int, like: Tensor, seed: int, step: int) -> SmoothTransform:
    """The random warps of a step's whole batch: a function of seed and step alone, whatever was drawn before.

    A resumed run therefore draws what an uninterrupted one would, and each of several processes takes its slice of
    what one process would draw.
    """
    source = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    return SmoothTransform.draw(batch, config.sigma_affine, config.sigma_tps, config.points_tps, like, source)


class GeneratorPass(nn.Module):
    """Losses of generator, dense motion and keypoint detector; its forward is what distribution and compilation wrap.

    model          trained
    perceptual     frozen feature network, or None where every slice's weight is 0
    discriminator  judged by, not trained here; None without a GAN term. Not a submodule: its weights are not ours
    """

    def __init__(
        self,
        config: Config,
        model: FirstOrderModel,
        perceptual: nn.Module | None,
        discriminator: Discriminator | None,
    ) -> None:
        super().__init__()
        self.config = config
        self.model = model
        self.perceptual = perceptual
        self.pyramid = ImagePyramid(config.train.scales, config.model.num_channels)
        self._judge = (discriminator,)  # a tuple hides it from nn.Module
        self.bf16 = config.train.precision == "bf16"

    def forward(self, source: Tensor, driving: Tensor, transform: SmoothTransform) -> Outcome:
        """
        source, driving  (B, 3, H, W) in [0, 1]
        transform        of batch B
        """
        weights = self.config.train.loss
        model, kind = self.model, source.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.bf16):
            # One call each: every image is a batch-norm batch of its own, as published (one merged call would
            # change the results by percents).
            kp_source = model.detect(source)
            kp_driving = model.detect(driving)
            rendered = model.render(model.encode(source), kp_source, kp_driving, deformed=False)
        prediction = rendered.prediction
        terms: dict[str, Tensor] = {}
        pairs = losses.pair_weights(source, driving, self.config.train.balance)
        if self.perceptual is not None:
            # The pyramid outside autocast: bf16 would round the pictures to 8 bits before they are compared.
            made, true = self.pyramid(prediction), self.pyramid(driving)
            with torch.autocast(kind, torch.bfloat16, enabled=self.bf16):
                terms["perceptual"] = losses.perceptual(self.perceptual, made, true, weights.perceptual, pairs)
        if weights.reconstruction:
            terms["reconstruction"] = weights.reconstruction * losses.reconstruction(prediction, driving, pairs)
        discriminator = self._judge[0]
        if discriminator is not None:
            terms.update(adversarial(weights, discriminator, prediction, driving, kp_driving))
        if weights.equivariance_value or weights.equivariance_jacobian:
            with torch.autocast(kind, torch.bfloat16, enabled=self.bf16):
                kp_transformed = model.detect(transform.frame(driving, self.config.model.align_corners))
            terms.update(equivariance(weights, kp_driving, kp_transformed, transform))
        total = torch.stack([terms[name] for name in GENERATOR_TERMS if name in terms]).sum()
        return Outcome(
            total,
            {name: value.detach() for name, value in terms.items()},
            prediction.detach(),
            kp_driving.apply(Tensor.detach),
            losses.keypoint_spread(kp_driving.value.detach()),
        )


class DiscriminatorPass(nn.Module):
    """The discriminator's own loss, on the detached prediction."""

    def __init__(self, config: Config, discriminator: Discriminator) -> None:
        super().__init__()
        self.weight = config.train.loss.discriminator_gan
        self.discriminator = discriminator

    def forward(self, prediction: Tensor, driving: Tensor, kp_driving: Keypoints) -> Tensor:
        """The weighted scalar; generated first, then driving: spectral norm remembers the order."""
        made = self.discriminator(prediction, kp_driving)
        true = self.discriminator(driving, kp_driving)
        return self.weight * losses.discriminator_gan([one.map for one in made], [one.map for one in true])


def adversarial(
    weights: LossConfig, discriminator: Discriminator, prediction: Tensor, driving: Tensor, kp_driving: Keypoints
) -> dict[str, Tensor]:
    """GAN term and feature matching, weighted. The discriminator's weights take no gradient here."""
    with without_gradient(discriminator):
        made = discriminator(prediction, kp_driving)
        true = discriminator(driving, kp_driving)
        terms = {"generator_gan": weights.generator_gan * losses.generator_gan([one.map for one in made])}
        if any(weights.feature_matching):
            terms["feature_matching"] = losses.feature_matching(
                [one.features for one in made], [one.features for one in true], weights.feature_matching
            )
    return terms


def equivariance(
    weights: LossConfig, kp_driving: Keypoints, kp_transformed: Keypoints, transform: SmoothTransform
) -> dict[str, Tensor]:
    """Both equivariance terms, weighted (eqs. 10-12): the transformed frame's keypoints, carried back, against the
    driving's.
    """
    terms = {}
    if weights.equivariance_value:
        expected = transform.points(kp_transformed.value)
        terms["equivariance_value"] = weights.equivariance_value * losses.equivariance_value(kp_driving.value, expected)
    if weights.equivariance_jacobian and kp_driving.jacobian is not None and kp_transformed.jacobian is not None:
        carried = product_2x2(transform.jacobian(kp_transformed.value), kp_transformed.jacobian)
        terms["equivariance_jacobian"] = weights.equivariance_jacobian * losses.equivariance_jacobian(
            inverse_2x2(kp_driving.jacobian), carried
        )
    return terms


class _WithoutGradient(AbstractContextManager[None]):
    def __init__(self, module: nn.Module) -> None:
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]

    def __enter__(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)


def without_gradient(module: nn.Module) -> AbstractContextManager[None]:
    """The module's weights as constants for a while: gradients pass through to the input, none is made for them."""
    return _WithoutGradient(module)

"""How first-order motion is trained: the published recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from fomm_cli.model.config import ModelConfig
from fomm_cli.model.first_order import losses
from fomm_cli.model.first_order.config import FirstOrderConfig, FirstOrderTrain
from fomm_cli.model.first_order.discriminator import Discriminator, Judgement
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import inverse_2x2, product_2x2
from fomm_cli.model.losses import equivariance_value
from fomm_cli.model.training import Group, Scene, Term, Training


def _generator_gan(scene: Scene, weight: float) -> Tensor:
    return weight * losses.generator_gan([scale.map for scale in _judgements(scene)[0]])


def _feature_matching(scene: Scene, weight: tuple[float, ...]) -> Tensor:
    made, true = _judgements(scene)
    return losses.feature_matching([scale.features for scale in made], [scale.features for scale in true], weight)


def _equivariance_value(scene: Scene, weight: float) -> Tensor:
    """Eqs. 10, 11: the transformed frame's keypoints, carried back, against the driving's."""
    expected = scene.transform.points(scene.pose_transformed.value)
    return weight * equivariance_value(scene.pose_driving.value, expected)


def _equivariance_jacobian(scene: Scene, weight: float) -> Tensor:
    """Eq. 12."""
    transformed = scene.pose_transformed
    carried = product_2x2(scene.transform.jacobian(transformed.value), transformed.jacobian)
    return weight * losses.equivariance_jacobian(inverse_2x2(scene.pose_driving.jacobian), carried)


class FirstOrderTraining(Training):
    """Two optimisers, a third for the discriminator where a GAN term has weight."""

    terms: dict[str, Term] = {  # noqa: RUF012  (one constant of the class)
        "generator_gan": _generator_gan,
        "feature_matching": _feature_matching,
        "equivariance_value": _equivariance_value,
        "equivariance_jacobian": _equivariance_jacobian,
    }

    def active(self, config: FirstOrderConfig, train: FirstOrderTrain) -> dict[str, Term]:
        terms = super().active(config, train)
        if not self.judged(train):
            terms.pop("feature_matching", None)
        if not config.estimate_jacobian:
            terms.pop("equivariance_jacobian", None)
        return terms

    def groups(self, model: FirstOrderModel, train: FirstOrderTrain) -> dict[str, Group]:
        clip = (2.0, train.clip_grad_norm)
        generator = [*model.generator.parameters(), *model.dense_motion.parameters()]
        return {
            "generator": Group(generator, train.lr_generator, clip=clip),
            "kp_detector": Group(
                list(model.keypoint_detector.parameters()),
                train.lr_kp_detector,
                clip=clip,
                frozen=train.lr_kp_detector == 0,
            ),
        }

    def judged(self, train: FirstOrderTrain) -> bool:
        return train.loss.generator_gan > 0

    def discriminator(self, config: ModelConfig) -> Discriminator:
        assert isinstance(config, FirstOrderConfig)
        return Discriminator(config)

    def judge(self, discriminator: nn.Module, train: FirstOrderTrain) -> tuple[nn.Module, Group]:
        assert isinstance(discriminator, Discriminator)
        group = Group(list(discriminator.parameters()), train.lr_discriminator, clip=(2.0, train.clip_grad_norm))
        return DiscriminatorPass(discriminator, train.loss.discriminator_gan), group


class DiscriminatorPass(nn.Module):
    """The discriminator's own loss, on the detached prediction."""

    def __init__(self, discriminator: Discriminator, weight: float) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.weight = weight

    def forward(self, prediction: Tensor, driving: Tensor, pose_driving: Keypoints) -> Tensor:
        """The weighted scalar; generated first, then driving: spectral norm remembers the order."""
        made = self.discriminator(prediction, pose_driving)
        true = self.discriminator(driving, pose_driving)
        return self.weight * losses.discriminator_gan([scale.map for scale in made], [scale.map for scale in true])


def _judgements(scene: Scene) -> tuple[list[Judgement], list[Judgement]]:
    """Of prediction and driving, in this order, once a step. The discriminator's weights take no gradient here."""
    if "judgements" not in scene.kept:
        assert scene.discriminator is not None
        with _without_gradient(scene.discriminator):
            made = scene.discriminator(scene.rendering.prediction, scene.pose_driving)
            scene.kept["judgements"] = made, scene.discriminator(scene.driving, scene.pose_driving)
    return scene.kept["judgements"]


@contextmanager
def _without_gradient(module: nn.Module) -> Iterator[None]:
    """The module's weights as constants for a while: gradients pass through to the input, none is made for them."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)

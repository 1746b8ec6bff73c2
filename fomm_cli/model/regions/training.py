"""How articulated regions are trained: the published recipe, of both stages."""

from __future__ import annotations

from torch import Tensor

from fomm_cli.model.geometry import inverse_2x2, product_2x2
from fomm_cli.model.losses import equivariance_value, mean_difference
from fomm_cli.model.regions import losses
from fomm_cli.model.regions.config import RegionsConfig, RegionsTrain
from fomm_cli.model.regions.network import RegionsModel
from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.training import Group, Scene, Term, Training


def _equivariance_value(scene: Scene, weight: float) -> Tensor:
    """The transformed frame's regions, carried back, against the driving's."""
    expected = scene.transform.points(scene.pose_transformed.value)
    return weight * equivariance_value(scene.pose_driving.value, expected)


def _equivariance_jacobian(scene: Scene, weight: float) -> Tensor:
    transformed = scene.pose_transformed
    carried = product_2x2(scene.transform.jacobian(transformed.value), transformed.jacobian)
    assert isinstance(scene.model, RegionsModel)
    revert = scene.model.config.dense_motion.revert_axis_swap
    return weight * losses.equivariance_jacobian(inverse_2x2(scene.pose_driving.jacobian), carried, revert)


def _affine(scene: Scene, weight: float) -> Tensor:
    return weight * mean_difference(scene.disentangled.jacobian, scene.pose_driving.jacobian)


class RegionsTraining(Training):
    """An optimiser a network, all of one rate: the same as the published one for all."""

    terms: dict[str, Term] = {  # noqa: RUF012  (one constant of the class)
        "equivariance_value": _equivariance_value,
        "equivariance_jacobian": _equivariance_jacobian,
    }
    avd_terms: dict[str, Term] = {**Training.avd_terms, "affine": _affine}  # noqa: RUF012

    def stretched(self, pose: Regions, factors: Tensor) -> Regions:
        """Places and axes times the factors; the extent follows and is not looked at."""
        return Regions(pose.value * factors[:, None], pose.jacobian * factors[:, None, :, None])

    def active(self, config: RegionsConfig, train: RegionsTrain) -> dict[str, Term]:
        terms = super().active(config, train)
        if config.axes == "none":
            terms.pop("equivariance_jacobian", None)
        return terms

    def groups(self, model: RegionsModel, train: RegionsTrain) -> dict[str, Group]:
        parts = {
            "generator": [*model.generator.parameters(), *model.dense_motion.parameters()],
            "kp_detector": list(model.keypoint_detector.parameters()),
        }
        if model.background_predictor is not None:
            parts["background"] = list(model.background_predictor.parameters())
        clip = (2.0, train.clip_grad_norm)
        return {name: Group(each, train.lr_generator, clip=clip) for name, each in parts.items()}

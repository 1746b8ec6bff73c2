"""How thin-plate-spline motion is trained: the published recipe."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.losses import equivariance_value
from fomm_cli.model.thin_plate import losses
from fomm_cli.model.thin_plate.config import DropoutConfig, ThinPlateConfig, ThinPlateTrain
from fomm_cli.model.thin_plate.network import ThinPlateModel
from fomm_cli.model.training import Group, Pass, Progress, Scene, Term, Training


def _equivariance_value(scene: Scene, weight: float) -> Tensor:
    expected = scene.transform.points(scene.pose_transformed.value)
    return weight * equivariance_value(scene.pose_driving.value, expected)


def _warp_loss(scene: Scene, weight: float) -> Tensor:
    with torch.no_grad(), scene.autocast():
        driving = scene.model.encode(scene.driving).features
    return weight * losses.warp_loss(scene.encoded.features, driving, scene.rendering.motion)


def _bg(scene: Scene, weight: float) -> Tensor:
    if scene.background is None:  # before its epoch
        return scene.source.new_zeros(())
    with scene.autocast():
        back = scene.model.background(scene.driving, scene.source)
    assert back is not None
    return weight * losses.bg(scene.background, back)


class ThinPlateTraining(Training):
    """One rate for all networks; the generator's gradients are not clipped, the background may start later."""

    terms: dict[str, Term] = {  # noqa: RUF012  (one constant of the class)
        "equivariance_value": _equivariance_value,
        "warp_loss": _warp_loss,
        "bg": _bg,
    }
    euclidean = True

    def uniforms(self, config: ThinPlateConfig) -> int:
        return config.num_tps + 1

    def active(self, config: ThinPlateConfig, train: ThinPlateTrain) -> dict[str, Term]:
        terms = super().active(config, train)
        if not config.bg:
            terms.pop("bg", None)
        return terms

    def groups(self, model: ThinPlateModel, train: ThinPlateTrain) -> dict[str, Group]:
        clipped = torch.inf, train.clip_grad_inf
        rates = train.lr_generator, train.weight_decay
        groups = {
            "generator": Group(list(model.generator.parameters()), *rates, clip=(2.0, train.clip_grad_norm)),
            "dense_motion": Group(list(model.dense_motion.parameters()), *rates, clip=clipped),
            "kp_detector": Group(list(model.keypoint_detector.parameters()), *rates, clip=clipped),
        }
        if model.background_predictor is not None:
            behind = list(model.background_predictor.parameters())
            groups["background"] = Group(behind, *rates, clip=clipped, from_epoch=train.bg_start)
        return groups

    def forward(
        self,
        model: ThinPlateModel,
        train: ThinPlateTrain,
        source: Tensor,
        driving: Tensor,
        progress: Progress,
        uniform: Tensor,
    ) -> Pass:
        poses = model.detect(source), model.detect(driving)
        background = model.background(source, driving) if progress.epoch >= train.bg_start else None
        encoded = model.encode(source)
        keep = kept(uniform, train.dropout, progress.epoch)
        return Pass(*poses, background, encoded, model.render(encoded, *poses, background, keep=keep))


def kept(uniform: Tensor, dropout: DropoutConfig, epoch: int) -> Tensor | None:
    """Which candidates take part in each pair's flow (eq. 7), (B, K+1) of 0 and 1; the background always.

    None where the schedule has ended, which is more than keeping all: the shares then sum to 1 exactly.

    uniform  (B, K+1) in [0, 1)
    epoch    from 0
    """
    if epoch >= dropout.until:
        return None
    chance = min(epoch / dropout.rise * dropout.most + dropout.start, dropout.most)
    splines = (uniform[:, 1:] < 1 - chance).to(uniform.dtype)
    return torch.cat((torch.ones_like(splines[:, :1]), splines), dim=1)

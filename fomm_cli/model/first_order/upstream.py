"""The YAML vocabulary of the original first-order-model repository, in our keys; None is a key with no meaning here."""

from __future__ import annotations

from typing import Any

from fomm_cli.model import upstream
from fomm_cli.model.upstream import SHARED, alike

_HOURGLASS = "block_expansion max_features num_blocks scale_factor"
_ANIMATE = "animate_params.normalization_params"

KEYS: dict[str, str | None] = {
    **SHARED,
    "dataset_params.frame_shape": "data.frame_shape",
    **alike("model_params.common_params", "model", "num_kp num_channels estimate_jacobian"),
    **alike("model_params.kp_detector_params", "model.detector", f"{_HOURGLASS} temperature single_jacobian_map pad"),
    **alike("model_params.generator_params", "model.generator", "num_bottleneck_blocks estimate_occlusion_map"),
    **alike("model_params.generator_params.dense_motion_params", "model.dense_motion", f"{_HOURGLASS} kp_variance"),
    **alike(
        "model_params.discriminator_params",
        "model.discriminator",
        "scales block_expansion max_features num_blocks sn use_kp kp_variance",
    ),
    "model_params.discriminator_params.num_kp": None,  # always common_params.num_kp
    **alike("train_params", "train", "lr_generator lr_discriminator lr_kp_detector"),
    **alike(
        "train_params.loss_weights",
        "train.loss",
        "generator_gan discriminator_gan feature_matching equivariance_value equivariance_jacobian",
    ),
    f"{_ANIMATE}.adapt_movement_scale": "animate.adapt_scale",
    f"{_ANIMATE}.use_relative_movement": "animate.mode",
    f"{_ANIMATE}.use_relative_jacobian": None,  # ours moves points and Jacobians together
}

SILENT: dict[str, Any] = {**upstream.SILENT, "model.discriminator.sn": False, "animate.adapt_scale": False}


def in_our_terms(key: str, value: Any) -> Any:
    """The value of one of their keys in our terms."""
    if key == f"{_ANIMATE}.use_relative_movement":
        return "relative" if value else "absolute"
    return upstream.in_our_terms(key, value)

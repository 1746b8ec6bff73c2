"""The YAML vocabulary of snap-research/articulated-animation, in our keys; None is a key with no meaning here."""

from __future__ import annotations

from typing import Any

from fomm_cli.model import upstream
from fomm_cli.model.upstream import AVD, SHARED, alike

_SIZE = "block_expansion max_features num_blocks"
_DETECTOR = "model_params.region_predictor_params"
_BACKGROUND = "model_params.bg_predictor_params"
_MOTION = "model_params.generator_params.pixelwise_flow_predictor_params"

KEYS: dict[str, str | None] = {
    **SHARED,
    **AVD,
    "dataset_params.frame_shape": None,  # null in every config: frames are read at the size they have
    **alike("model_params", "model", "num_regions num_channels"),
    "model_params.revert_axis_swap": "model.dense_motion.revert_axis_swap",
    "model_params.estimate_affine": "model.estimate_jacobian",
    **alike(_DETECTOR, "model.detector", f"{_SIZE} scale_factor temperature pad"),
    f"{_DETECTOR}.pca_based": "model.detector.pca",
    f"{_DETECTOR}.fast_svd": None,  # a CUDA package with other signs, off in every config
    **alike(_BACKGROUND, "model.background", _SIZE),
    f"{_BACKGROUND}.bg_type": "model.background.type",
    **alike("model_params.generator_params", "model.generator", "num_bottleneck_blocks skips"),
    **alike(_MOTION, "model.dense_motion", f"{_SIZE} scale_factor"),
    f"{_MOTION}.use_covar_heatmap": "model.dense_motion.covariance_evidence",
    f"{_MOTION}.use_deformed_source": "model.dense_motion.deformed_source",
    f"{_MOTION}.estimate_occlusion_map": "model.generator.estimate_occlusion_map",
    f"{_MOTION}.region_var": "model.dense_motion.region_variance",
    "train_params.lr": "train.lr_generator",
    "train_params.use_sync_bn": None,  # several processes always share their statistics here
    "train_params.loss_weights.equivariance_shift": "train.loss.equivariance_value",
    "train_params.loss_weights.equivariance_affine": "train.loss.equivariance_jacobian",
    "train_avd_params.lambda_affine": "train.avd.loss.affine",
    "animate_params.mode": "animate.mode",
}

SILENT: dict[str, Any] = {**upstream.SILENT, "model.detector.pad": 3}


def in_our_terms(key: str, value: Any) -> Any:
    """The value of one of their keys in our terms."""
    if key == "animate_params.mode" and value == "standard":
        return "absolute"
    return upstream.in_our_terms(key, value)

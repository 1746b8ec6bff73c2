"""The YAML vocabulary of snap-research/articulated-animation, in our keys; None is a key with no meaning here."""

from __future__ import annotations

from typing import Any

_MODEL = "model_params."
_DETECTOR = "model_params.region_predictor_params."
_BACKGROUND = "model_params.bg_predictor_params."
_GENERATOR = "model_params.generator_params."
_MOTION = "model_params.generator_params.pixelwise_flow_predictor_params."
_TRAIN = "train_params."
_AVD = "train_avd_params."
_AUGMENT = "dataset_params.augmentation_params."

KEYS: dict[str, str | None] = {
    "dataset_params.root_dir": None,  # where data lies is a flag, --data
    "dataset_params.pairs_list": None,  # likewise, for `fomm eval animation`
    "dataset_params.frame_shape": None,  # null in every config: frames are read at the size they have
    "dataset_params.id_sampling": "data.id_sampling",
    _AUGMENT + "flip_param.horizontal_flip": "data.augmentation.horizontal_flip",
    _AUGMENT + "flip_param.time_flip": "data.augmentation.time_flip",
    _AUGMENT + "rotation_param.degrees": "data.augmentation.rotation",
    _AUGMENT + "resize_param.ratio": "data.augmentation.resize",
    _AUGMENT + "crop_param.size": "data.augmentation.crop",
    _AUGMENT + "jitter_param.brightness": "data.augmentation.brightness",
    _AUGMENT + "jitter_param.contrast": "data.augmentation.contrast",
    _AUGMENT + "jitter_param.saturation": "data.augmentation.saturation",
    _AUGMENT + "jitter_param.hue": "data.augmentation.hue",
    _MODEL + "num_regions": "model.num_regions",
    _MODEL + "num_channels": "model.num_channels",
    _MODEL + "revert_axis_swap": "model.dense_motion.revert_axis_swap",
    _MODEL + "estimate_affine": "model.estimate_jacobian",
    _DETECTOR + "pca_based": "model.detector.pca",
    _DETECTOR + "fast_svd": None,  # a CUDA package with other signs, off in every config
    _DETECTOR + "temperature": "model.detector.temperature",
    _DETECTOR + "block_expansion": "model.detector.block_expansion",
    _DETECTOR + "max_features": "model.detector.max_features",
    _DETECTOR + "num_blocks": "model.detector.num_blocks",
    _DETECTOR + "scale_factor": "model.detector.scale_factor",
    _DETECTOR + "pad": "model.detector.pad",
    _BACKGROUND + "bg_type": "model.background.type",
    _BACKGROUND + "block_expansion": "model.background.block_expansion",
    _BACKGROUND + "max_features": "model.background.max_features",
    _BACKGROUND + "num_blocks": "model.background.num_blocks",
    _GENERATOR + "block_expansion": "model.generator.block_expansion",
    _GENERATOR + "max_features": "model.generator.max_features",
    _GENERATOR + "num_down_blocks": "model.generator.num_down_blocks",
    _GENERATOR + "num_bottleneck_blocks": "model.generator.num_bottleneck_blocks",
    _GENERATOR + "skips": "model.generator.skips",
    _MOTION + "block_expansion": "model.dense_motion.block_expansion",
    _MOTION + "max_features": "model.dense_motion.max_features",
    _MOTION + "num_blocks": "model.dense_motion.num_blocks",
    _MOTION + "scale_factor": "model.dense_motion.scale_factor",
    _MOTION + "use_covar_heatmap": "model.dense_motion.covariance_evidence",
    _MOTION + "use_deformed_source": "model.dense_motion.deformed_source",
    _MOTION + "estimate_occlusion_map": "model.generator.estimate_occlusion_map",
    _MOTION + "region_var": "model.dense_motion.region_variance",
    _MODEL + "avd_network_params.id_bottle_size": "model.avd.id_bottle_size",
    _MODEL + "avd_network_params.pose_bottle_size": "model.avd.pose_bottle_size",
    _TRAIN + "num_epochs": "train.num_epochs",
    _TRAIN + "num_repeats": "train.num_repeats",
    _TRAIN + "epoch_milestones": "train.epoch_milestones",
    _TRAIN + "lr": "train.lr_generator",
    _TRAIN + "batch_size": "train.batch_size",
    _TRAIN + "scales": "train.scales",
    _TRAIN + "use_sync_bn": None,  # several processes always share their statistics here
    _TRAIN + "dataloader_workers": None,  # a flag, --workers
    _TRAIN + "checkpoint_freq": None,  # checkpoints go by time here
    _TRAIN + "transform_params.sigma_affine": "train.transform.sigma_affine",
    _TRAIN + "transform_params.sigma_tps": "train.transform.sigma_tps",
    _TRAIN + "transform_params.points_tps": "train.transform.points_tps",
    _TRAIN + "loss_weights.perceptual": "train.loss.perceptual",
    _TRAIN + "loss_weights.equivariance_shift": "train.loss.equivariance_value",
    _TRAIN + "loss_weights.equivariance_affine": "train.loss.equivariance_jacobian",
    _AVD + "num_epochs": "train.avd.num_epochs",
    _AVD + "num_repeats": "train.avd.num_repeats",
    _AVD + "batch_size": "train.avd.batch_size",
    _AVD + "epoch_milestones": "train.avd.epoch_milestones",
    _AVD + "lr": "train.avd.lr_avd",
    _AVD + "random_scale": "train.avd.random_scale",
    _AVD + "lambda_shift": "train.avd.loss.shift",
    _AVD + "lambda_affine": "train.avd.loss.affine",
    _AVD + "dataloader_workers": None,
    _AVD + "checkpoint_freq": None,
    "animate_params.mode": "animate.mode",
}

# What the original code assumes where a file is silent and our default, mraa-taichi-256, differs.
SILENT: dict[str, Any] = {
    "model.detector.pad": 3,
    "data.augmentation.brightness": 0.0,
    "data.augmentation.contrast": 0.0,
    "data.augmentation.saturation": 0.0,
    "data.augmentation.hue": 0.0,
    "data.augmentation.horizontal_flip": False,
    "data.augmentation.time_flip": False,
}


def in_our_terms(key: str, value: Any) -> Any:
    """The value of one of their keys in our terms."""
    if key == "animate_params.mode" and value == "standard":
        return "absolute"
    if key == _AVD + "epoch_milestones" and isinstance(value, list | tuple):
        return [epoch + 1 for epoch in value]  # their schedule hears of an epoch when it has ended
    return value

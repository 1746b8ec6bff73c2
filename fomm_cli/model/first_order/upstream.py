"""The YAML vocabulary of the original first-order-model repository, in our keys; None is a key with no meaning here."""

from __future__ import annotations

from typing import Any

_MODEL = "model_params."
_TRAIN = "train_params."
_AUGMENT = "dataset_params.augmentation_params."
_MOTION = "model_params.generator_params.dense_motion_params."

KEYS: dict[str, str | None] = {
    "dataset_params.root_dir": None,  # where data lies is a flag, --data
    "dataset_params.pairs_list": None,  # likewise, for `fomm eval animation`
    "dataset_params.frame_shape": "data.frame_shape",
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
    _MODEL + "common_params.num_kp": "model.num_kp",
    _MODEL + "common_params.num_channels": "model.num_channels",
    _MODEL + "common_params.estimate_jacobian": "model.estimate_jacobian",
    _MODEL + "kp_detector_params.temperature": "model.detector.temperature",
    _MODEL + "kp_detector_params.block_expansion": "model.detector.block_expansion",
    _MODEL + "kp_detector_params.max_features": "model.detector.max_features",
    _MODEL + "kp_detector_params.scale_factor": "model.detector.scale_factor",
    _MODEL + "kp_detector_params.num_blocks": "model.detector.num_blocks",
    _MODEL + "kp_detector_params.single_jacobian_map": "model.detector.single_jacobian_map",
    _MODEL + "kp_detector_params.pad": "model.detector.pad",
    _MODEL + "generator_params.block_expansion": "model.generator.block_expansion",
    _MODEL + "generator_params.max_features": "model.generator.max_features",
    _MODEL + "generator_params.num_down_blocks": "model.generator.num_down_blocks",
    _MODEL + "generator_params.num_bottleneck_blocks": "model.generator.num_bottleneck_blocks",
    _MODEL + "generator_params.estimate_occlusion_map": "model.generator.estimate_occlusion_map",
    _MOTION + "block_expansion": "model.dense_motion.block_expansion",
    _MOTION + "max_features": "model.dense_motion.max_features",
    _MOTION + "num_blocks": "model.dense_motion.num_blocks",
    _MOTION + "scale_factor": "model.dense_motion.scale_factor",
    _MOTION + "kp_variance": "model.dense_motion.kp_variance",
    _MODEL + "discriminator_params.scales": "model.discriminator.scales",
    _MODEL + "discriminator_params.block_expansion": "model.discriminator.block_expansion",
    _MODEL + "discriminator_params.max_features": "model.discriminator.max_features",
    _MODEL + "discriminator_params.num_blocks": "model.discriminator.num_blocks",
    _MODEL + "discriminator_params.sn": "model.discriminator.sn",
    _MODEL + "discriminator_params.use_kp": "model.discriminator.use_kp",
    _MODEL + "discriminator_params.kp_variance": "model.discriminator.kp_variance",
    _MODEL + "discriminator_params.num_kp": None,  # always common_params.num_kp
    _TRAIN + "num_epochs": "train.num_epochs",
    _TRAIN + "num_repeats": "train.num_repeats",
    _TRAIN + "epoch_milestones": "train.epoch_milestones",
    _TRAIN + "lr_generator": "train.lr_generator",
    _TRAIN + "lr_discriminator": "train.lr_discriminator",
    _TRAIN + "lr_kp_detector": "train.lr_kp_detector",
    _TRAIN + "batch_size": "train.batch_size",
    _TRAIN + "scales": "train.scales",
    _TRAIN + "checkpoint_freq": None,  # checkpoints go by time here
    _TRAIN + "transform_params.sigma_affine": "train.transform.sigma_affine",
    _TRAIN + "transform_params.sigma_tps": "train.transform.sigma_tps",
    _TRAIN + "transform_params.points_tps": "train.transform.points_tps",
    _TRAIN + "loss_weights.generator_gan": "train.loss.generator_gan",
    _TRAIN + "loss_weights.discriminator_gan": "train.loss.discriminator_gan",
    _TRAIN + "loss_weights.feature_matching": "train.loss.feature_matching",
    _TRAIN + "loss_weights.perceptual": "train.loss.perceptual",
    _TRAIN + "loss_weights.equivariance_value": "train.loss.equivariance_value",
    _TRAIN + "loss_weights.equivariance_jacobian": "train.loss.equivariance_jacobian",
    "animate_params.normalization_params.adapt_movement_scale": "animate.adapt_scale",
    "animate_params.normalization_params.use_relative_movement": "animate.mode",
    "animate_params.normalization_params.use_relative_jacobian": None,  # ours moves points and Jacobians together
}

# What the original code assumes where a file is silent and our default, vox-256, differs.
SILENT: dict[str, Any] = {
    "data.augmentation.brightness": 0.0,
    "data.augmentation.contrast": 0.0,
    "data.augmentation.saturation": 0.0,
    "data.augmentation.hue": 0.0,
    "data.augmentation.horizontal_flip": False,
    "data.augmentation.time_flip": False,
    "model.discriminator.sn": False,
    "animate.adapt_scale": False,
}


def in_our_terms(key: str, value: Any) -> Any:
    """The value of one of their keys in our terms."""
    if key == "animate_params.normalization_params.use_relative_movement":
        return "relative" if value else "absolute"
    if key == _AUGMENT + "crop_param.size" and isinstance(value, int):
        return [value, value]
    if key == _AUGMENT + "rotation_param.degrees" and isinstance(value, list | tuple):
        return max(abs(float(edge)) for edge in value)
    return value

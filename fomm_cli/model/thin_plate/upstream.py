"""The YAML vocabulary of yoyo-nb/Thin-Plate-Spline-Motion-Model, in our keys; None is a key with no meaning here."""

from __future__ import annotations

from typing import Any

_MODEL = "model_params."
_TRAIN = "train_params."
_AVD = "train_avd_params."
_AUGMENT = "dataset_params.augmentation_params."

KEYS: dict[str, str | None] = {
    "dataset_params.root_dir": None,  # where data lies is a flag, --data
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
    _MODEL + "common_params.num_tps": "model.num_tps",
    _MODEL + "common_params.num_channels": "model.num_channels",
    _MODEL + "common_params.bg": "model.bg",
    _MODEL + "common_params.multi_mask": "model.multi_mask",
    _MODEL + "generator_params.block_expansion": "model.generator.block_expansion",
    _MODEL + "generator_params.max_features": "model.generator.max_features",
    _MODEL + "generator_params.num_down_blocks": "model.generator.num_down_blocks",
    _MODEL + "dense_motion_params.block_expansion": "model.dense_motion.block_expansion",
    _MODEL + "dense_motion_params.max_features": "model.dense_motion.max_features",
    _MODEL + "dense_motion_params.num_blocks": "model.dense_motion.num_blocks",
    _MODEL + "dense_motion_params.scale_factor": "model.dense_motion.scale_factor",
    _MODEL + "dense_motion_params.kp_variance": "model.dense_motion.kp_variance",
    _MODEL + "avd_network_params.id_bottle_size": "model.avd.id_bottle_size",
    _MODEL + "avd_network_params.pose_bottle_size": "model.avd.pose_bottle_size",
    _TRAIN + "num_epochs": "train.num_epochs",
    _TRAIN + "num_repeats": "train.num_repeats",
    _TRAIN + "epoch_milestones": "train.epoch_milestones",
    _TRAIN + "lr_generator": "train.lr_generator",
    _TRAIN + "batch_size": "train.batch_size",
    _TRAIN + "scales": "train.scales",
    _TRAIN + "dataloader_workers": None,  # a flag, --workers
    _TRAIN + "checkpoint_freq": None,  # checkpoints go by time here
    _TRAIN + "bg_start": "train.bg_start",
    _TRAIN + "dropout_epoch": "train.dropout.until",
    _TRAIN + "dropout_inc_epoch": "train.dropout.rise",
    _TRAIN + "dropout_startp": "train.dropout.start",
    _TRAIN + "dropout_maxp": "train.dropout.most",
    _TRAIN + "transform_params.sigma_affine": "train.transform.sigma_affine",
    _TRAIN + "transform_params.sigma_tps": "train.transform.sigma_tps",
    _TRAIN + "transform_params.points_tps": "train.transform.points_tps",
    _TRAIN + "loss_weights.perceptual": "train.loss.perceptual",
    _TRAIN + "loss_weights.equivariance_value": "train.loss.equivariance_value",
    _TRAIN + "loss_weights.warp_loss": "train.loss.warp_loss",
    _TRAIN + "loss_weights.bg": "train.loss.bg",
    _AVD + "num_epochs": "train.avd.num_epochs",
    _AVD + "num_repeats": "train.avd.num_repeats",
    _AVD + "batch_size": "train.avd.batch_size",
    _AVD + "epoch_milestones": "train.avd.epoch_milestones",
    _AVD + "lr": "train.avd.lr_avd",
    _AVD + "random_scale": "train.avd.random_scale",
    _AVD + "lambda_shift": "train.avd.loss.shift",
    _AVD + "lambda_affine": None,  # stands in one config and is read by no line
    _AVD + "dataloader_workers": None,
    _AVD + "checkpoint_freq": None,
}

# What the original code assumes where a file is silent and our default, tps-vox-256, differs.
SILENT: dict[str, Any] = {
    "data.augmentation.brightness": 0.0,
    "data.augmentation.contrast": 0.0,
    "data.augmentation.saturation": 0.0,
    "data.augmentation.hue": 0.0,
    "data.augmentation.horizontal_flip": False,
    "data.augmentation.time_flip": False,
}


def in_our_terms(key: str, value: Any) -> Any:
    """The value of one of their keys in our terms."""
    if key == _AVD + "epoch_milestones":  # their schedule is told of an epoch when it is over: each acts one later
        return [milestone + 1 for milestone in value]
    return value

"""The YAML vocabulary of first-order-model as far as the repositories that grew out of it keep it, in our keys.

None is a key with no meaning here. A family's `upstream.py` adds its own.
"""

from __future__ import annotations

from typing import Any


def alike(theirs: str, ours: str, names: str) -> dict[str, str | None]:
    """Keys of a section that are spelled as in a section of ours."""
    return {f"{theirs}.{name}": f"{ours}.{name}" for name in names.split()}


_AUGMENT, _AUGMENTATION = "dataset_params.augmentation_params", "data.augmentation"

SHARED: dict[str, str | None] = {
    "dataset_params.root_dir": None,  # where data lies is a flag, --data
    "dataset_params.pairs_list": None,  # likewise, for `fomm eval animation`
    "dataset_params.id_sampling": "data.id_sampling",
    **alike(f"{_AUGMENT}.flip_param", _AUGMENTATION, "horizontal_flip time_flip"),
    f"{_AUGMENT}.rotation_param.degrees": "data.augmentation.rotation",
    f"{_AUGMENT}.resize_param.ratio": "data.augmentation.resize",
    f"{_AUGMENT}.crop_param.size": "data.augmentation.crop",
    **alike(f"{_AUGMENT}.jitter_param", _AUGMENTATION, "brightness contrast saturation hue"),
    **alike("model_params.generator_params", "model.generator", "block_expansion max_features num_down_blocks"),
    **alike("train_params", "train", "num_epochs num_repeats epoch_milestones batch_size scales"),
    **alike("train_params.transform_params", "train.transform", "sigma_affine sigma_tps points_tps"),
    "train_params.loss_weights.perceptual": "train.loss.perceptual",
    "train_params.checkpoint_freq": None,  # checkpoints go by time here
    "train_params.dataloader_workers": None,  # a flag, --workers
}

AVD: dict[str, str | None] = {
    **alike("model_params.avd_network_params", "model.avd", "id_bottle_size pose_bottle_size"),
    **alike("train_avd_params", "train.avd", "num_epochs num_repeats batch_size epoch_milestones random_scale"),
    "train_avd_params.lr": "train.avd.lr_avd",
    "train_avd_params.lambda_shift": "train.avd.loss.shift",
    "train_avd_params.dataloader_workers": None,
    "train_avd_params.checkpoint_freq": None,
}
"""Of the second stage, where a repository has one."""

# What the code assumes where a file is silent and our defaults, those of the published presets, differ.
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
    if key == f"{_AUGMENT}.crop_param.size" and isinstance(value, int):
        return [value, value]
    if key == f"{_AUGMENT}.rotation_param.degrees" and isinstance(value, list | tuple):
        return max(abs(float(edge)) for edge in value)
    if key == "train_avd_params.epoch_milestones" and isinstance(value, list | tuple):
        return [epoch + 1 for epoch in value]  # their schedule hears of an epoch when it has ended
    return value

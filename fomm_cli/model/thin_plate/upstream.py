"""The YAML vocabulary of yoyo-nb/Thin-Plate-Spline-Motion-Model, in our keys; None is a key with no meaning here."""

from __future__ import annotations

from fomm_cli.model.upstream import AVD, SHARED, alike
from fomm_cli.model.upstream import SILENT as SILENT
from fomm_cli.model.upstream import in_our_terms as in_our_terms

KEYS: dict[str, str | None] = {
    **SHARED,
    **AVD,
    "dataset_params.frame_shape": None,  # null in every config: frames are read at the size they have
    **alike("model_params.common_params", "model", "num_tps num_channels bg multi_mask"),
    **alike(
        "model_params.dense_motion_params",
        "model.dense_motion",
        "block_expansion max_features num_blocks scale_factor kp_variance",
    ),
    **alike("train_params", "train", "lr_generator bg_start"),
    "train_params.dropout_epoch": "train.dropout.until",
    "train_params.dropout_inc_epoch": "train.dropout.rise",
    "train_params.dropout_startp": "train.dropout.start",
    "train_params.dropout_maxp": "train.dropout.most",
    **alike("train_params.loss_weights", "train.loss", "equivariance_value warp_loss bg"),
    "train_avd_params.lambda_affine": None,  # stands in one config and is read by no line
}

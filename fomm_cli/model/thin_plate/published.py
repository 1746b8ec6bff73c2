"""Checkpoints and configs of yoyo-nb/Thin-Plate-Spline-Motion-Model: their names, the architecture off their shapes.

Names are ours at the top and the published ones below, as `RULES` gives them. What no shape shows is assumed, and each
assumption is named in the result so that it can be told.
"""

from __future__ import annotations

from typing import Any

from fomm_cli.model.published import Architecture, Shapes
from fomm_cli.model.shapes import ShapeReader, assuming, check_scale
from fomm_cli.model.thin_plate.config import ThinPlateConfig
from fomm_cli.model.thin_plate.pose import SPLINE
from fomm_cli.model.thin_plate.upstream import KEYS as KEYS
from fomm_cli.model.thin_plate.upstream import SILENT as SILENT
from fomm_cli.model.thin_plate.upstream import in_our_terms as in_our_terms

WHAT = (
    "A thin-plate-spline checkpoint is a dict with inpainting_network, dense_motion_network and kp_detector, and "
    "perhaps bg_predictor and avd_network."
)
REQUIRED = ("inpainting_network", "dense_motion_network", "kp_detector")
OPTIONAL = ("bg_predictor", "avd_network")
EPOCH = "epoch"
RULES: dict[str, str | None] = {
    "dense_motion_network.down.": None,  # the anti-alias kernel: a constant of the scale, not a weight
    "kp_detector.": "keypoint_detector.",
    "dense_motion_network.": "dense_motion.",
    "inpainting_network.": "generator.",
    "bg_predictor.": "background_predictor.",
    "avd_network.": "avd.",
}
_KERNEL = "dense_motion_network.down.weight"

# No shape depends on these: the published configs agree on all but the frame size, which is 256 in three of four.
ASSUMED: dict[str, Any] = {"model.dense_motion.kp_variance": 0.01, "data.frame_shape": [256, 256]}


def read_architecture(shapes: Shapes, published: Shapes) -> Architecture:
    """The config of a checkpoint.

    shapes     our name -> shape
    published  published name -> shape
    Raises FommError where the shapes are not those of a thin-plate-spline model.
    """
    reader = ShapeReader(shapes, published, "a thin-plate-spline model")
    width, channels, *_ = reader.shape("keypoint_detector.fg_encoder.conv1.weight", 4)
    outputs = reader.shape("keypoint_detector.fg_encoder.fc.weight", 2)[0]
    if outputs % (2 * SPLINE):
        reader.refuse(f"keypoint_detector has {outputs} outputs, not {2 * SPLINE} for each spline")
    num_tps = outputs // (2 * SPLINE)
    dense, inputs = reader.hourglass("dense_motion.hourglass", 1024)
    expected = outputs // 2 + 1 + channels * (num_tps + 1)
    if inputs != expected:
        reader.refuse(f"dense_motion takes {inputs} channels, not {expected} for {num_tps} splines")
    dense["scale_factor"] = reader.scale(_KERNEL)
    assumed = dict(ASSUMED)
    if reader.kernel(_KERNEL) is None:
        assumed["model.dense_motion.scale_factor"] = 1.0
    model: dict[str, Any] = {
        "family": "thin_plate",
        "num_tps": num_tps,
        "num_channels": channels,
        "bg": reader.has("background_predictor"),
        "multi_mask": reader.count("dense_motion.occlusion.") > 1,
        "resnet_width": width,
        "dense_motion": dense,
        "generator": reader.encoder("generator", 512),
    }
    if reader.has("avd"):
        model["avd"] = reader.avd()
    return assuming(model, assumed)


def check(config: ThinPlateConfig, published: Shapes, where: str) -> None:
    """Refuse a given config whose scale is not that of the stored kernel."""
    kernel = ShapeReader({}, published, where).kernel(_KERNEL)
    check_scale(config.dense_motion.scale_factor, "dense_motion", kernel, where)

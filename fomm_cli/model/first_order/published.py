"""Checkpoints and configs of AliaksandrSiarohin/first-order-model: their names, and the architecture off their shapes.

Names are ours at the top and the published ones below (`generator.down_blocks.0.conv.weight`), as `RULES` gives them.
What no shape shows is assumed, and each assumption is named in the result so that it can be told.
"""

from __future__ import annotations

from typing import Any

from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.upstream import KEYS as KEYS
from fomm_cli.model.first_order.upstream import SILENT as SILENT
from fomm_cli.model.first_order.upstream import in_our_terms as in_our_terms
from fomm_cli.model.published import Architecture, Shapes
from fomm_cli.model.shapes import ShapeReader, assuming, check_scale

WHAT = "A first-order-model checkpoint is a dict with generator and kp_detector, and perhaps discriminator."
REQUIRED = ("generator", "kp_detector")
OPTIONAL = ("discriminator",)
EPOCH = "epoch"
RULES: dict[str, str | None] = {
    "generator.dense_motion_network.down.": None,  # the anti-alias kernel: a constant of the scale, not a weight
    "kp_detector.down.": None,  # likewise
    "generator.dense_motion_network.": "dense_motion.",
    "generator.": "generator.",
    "kp_detector.": "keypoint_detector.",
    "discriminator.": "discriminator.",
}
_DETECTOR, _DENSE_MOTION = "kp_detector.down.weight", "generator.dense_motion_network.down.weight"

# No shape depends on these: the published configs agree on all but the frame size, which is 256 in every one.
ASSUMED: dict[str, Any] = {
    "model.align_corners": True,
    "model.detector.temperature": 0.1,
    "model.detector.pad": 0,
    "model.dense_motion.kp_variance": 0.01,
    "model.generator.skip": "none",
    "model.discriminator.kp_variance": 0.01,
    "data.frame_shape": [256, 256],
}


def read_architecture(shapes: Shapes, published: Shapes) -> Architecture:
    """The config of a checkpoint.

    shapes     our name -> shape
    published  published name -> shape
    Raises FommError where the shapes are not those of a first-order motion model.
    """
    reader = ShapeReader(shapes, published, "a first-order motion model")
    assumed = dict(ASSUMED)
    detector, channels = reader.hourglass("keypoint_detector.predictor", 1024)
    num_kp = reader.shape("keypoint_detector.kp.weight", 4)[0]
    maps = shapes.get("keypoint_detector.jacobian.weight", (0,))[0]
    if maps not in (0, 4, 4 * num_kp):
        reader.refuse(f"keypoint_detector.jacobian has {maps} maps, not 4 or {4 * num_kp} for {num_kp} keypoints")
    detector["single_jacobian_map"] = maps == 4 and num_kp > 1
    dense, dense_channels = reader.hourglass("dense_motion.hourglass", 1024)
    if dense_channels != (num_kp + 1) * (channels + 1):
        reader.refuse(
            f"dense_motion takes {dense_channels} channels, not {(num_kp + 1) * (channels + 1)} for {num_kp} keypoints "
            f"and {channels} image channels"
        )
    for kernel, key, section in ((_DETECTOR, "detector", detector), (_DENSE_MOTION, "dense_motion", dense)):
        section["scale_factor"] = reader.scale(kernel)
        if reader.kernel(kernel) is None:
            assumed[f"model.{key}.scale_factor"] = 1.0
    model: dict[str, Any] = {
        "num_kp": num_kp,
        "num_channels": channels,
        "estimate_jacobian": maps > 0,
        "detector": detector,
        "dense_motion": dense,
        "generator": {
            **reader.encoder("generator", 512),
            "num_bottleneck_blocks": reader.count("generator.bottleneck.r"),
            "estimate_occlusion_map": "dense_motion.occlusion.weight" in shapes,
        },
    }
    if reader.has("discriminator"):
        model["discriminator"] = _discriminator(reader, num_kp, channels)
    else:
        del assumed["model.discriminator.kp_variance"]
    return assuming(model, assumed)


def check(config: FirstOrderConfig, published: Shapes, where: str) -> None:
    """Refuse a given config whose scales are not those of the stored kernels."""
    reader = ShapeReader({}, published, where)
    check_scale(config.detector.scale_factor, "detector", reader.kernel(_DETECTOR), where)
    check_scale(config.dense_motion.scale_factor, "dense_motion", reader.kernel(_DENSE_MOTION), where)


def _discriminator(reader: ShapeReader, num_kp: int, channels: int) -> dict[str, Any]:
    shapes = reader.shapes
    names = list(dict.fromkeys(name.split(".")[2] for name in shapes if name.startswith("discriminator.discs.")))
    if not names:
        reader.refuse("the discriminator has no discs")
    prefix = f"discriminator.discs.{names[0]}"
    sn = f"{prefix}.conv.weight_orig" in shapes
    weight = "conv.weight_orig" if sn else "conv.weight"
    count = reader.count(f"{prefix}.down_blocks.")
    blocks = [reader.shape(f"{prefix}.down_blocks.{i}.{weight}", 4) for i in range(count)]
    if not blocks:
        reader.refuse("the discriminator has no blocks")
    extra = blocks[0][1] - channels
    if extra not in (0, num_kp):
        reader.refuse(f"the discriminator takes {blocks[0][1]} channels, not {channels} or {channels + num_kp}")
    widths = [shape[0] for shape in blocks]
    first = widths[0] // 2 if widths[0] % 2 == 0 else widths[0]  # block 0 is 2e wide unless capped
    return {
        "scales": [_disc_scale(reader, name) for name in names],
        "block_expansion": first,
        "max_features": reader.cap("discriminator", 512, first, widths),
        "num_blocks": count,
        "sn": sn,
        "use_kp": extra > 0,
    }


def _disc_scale(reader: ShapeReader, name: str) -> float:
    """`1` -> 1.0, `0-5` -> 0.5: a module name has no dots."""
    try:
        return float(name.replace("-", "."))
    except ValueError:
        reader.refuse(f"discriminator.discs.{name} names no scale")

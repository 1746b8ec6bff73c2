"""Checkpoints and configs of snap-research/articulated-animation: their names, and the architecture off their shapes.

Names are ours at the top and the published ones below, as `RULES` gives them. What no shape shows is assumed, and each
assumption is named in the result so that it can be told.
"""

from __future__ import annotations

from typing import Any

from fomm_cli.model.published import Architecture, Shapes
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.upstream import KEYS as KEYS
from fomm_cli.model.regions.upstream import SILENT as SILENT
from fomm_cli.model.regions.upstream import in_our_terms as in_our_terms
from fomm_cli.model.shapes import ShapeReader, assuming, check_scale

WHAT = (
    "An articulated-animation checkpoint is a dict with generator and region_predictor, and perhaps bg_predictor and "
    "avd_network."
)
REQUIRED = ("generator", "region_predictor")
OPTIONAL = ("bg_predictor", "avd_network")  # a background that stands still has a bg_predictor without tensors
EPOCH = "epoch_reconstruction"
RULES: dict[str, str | None] = {
    "generator.pixelwise_flow_predictor.down.": None,  # the anti-alias kernel: a constant of the scale, not a weight
    "region_predictor.down.": None,  # likewise
    "generator.pixelwise_flow_predictor.": "dense_motion.",
    "generator.": "generator.",
    "region_predictor.": "keypoint_detector.",
    "bg_predictor.": "background_predictor.",
    "avd_network.": "avd.",
}
_KERNELS = {
    "detector": "region_predictor.down.weight",
    "dense_motion": "generator.pixelwise_flow_predictor.down.weight",
}
_BACKGROUNDS = {2: "shift", 6: "affine", 8: "perspective"}

# No shape depends on these: so has it the majority of the published configs. vox-256 has a pad of 3, ted-384 384 px.
ASSUMED: dict[str, Any] = {
    "model.align_corners": False,
    "model.detector.temperature": 0.1,
    "model.detector.pad": 0,
    "model.dense_motion.revert_axis_swap": True,
    "model.dense_motion.covariance_evidence": True,
    "model.dense_motion.region_variance": 0.01,
    "model.generator.skips": True,
    "data.frame_shape": [256, 256],
}


def read_architecture(shapes: Shapes, published: Shapes) -> Architecture:
    """The config of a checkpoint.

    shapes     our name -> shape
    published  published name -> shape
    Raises FommError where the shapes are not those of articulated regions.
    """
    reader = ShapeReader(shapes, published, "a model of articulated regions")
    assumed = dict(ASSUMED)
    detector, channels = reader.hourglass("keypoint_detector.predictor", 1024)
    num_regions = reader.shape("keypoint_detector.regions.weight", 4)[0]
    dense, inputs = reader.hourglass("dense_motion.hourglass", 1024)
    candidates = num_regions + 1
    if inputs not in (candidates, candidates * (channels + 1)):
        reader.refuse(
            f"dense_motion takes {inputs} channels, not {candidates * (channels + 1)} (or {candidates}) for "
            f"{num_regions} regions and {channels} image channels"
        )
    dense["deformed_source"] = inputs != candidates
    for name, section in (("detector", detector), ("dense_motion", dense)):
        section["scale_factor"] = reader.scale(_KERNELS[name])
        if reader.kernel(_KERNELS[name]) is None:
            assumed[f"model.{name}.scale_factor"] = 1.0
    model: dict[str, Any] = {
        "family": "regions",
        "num_regions": num_regions,
        "num_channels": channels,
        "estimate_jacobian": True,
        "detector": detector,
        "background": _background(reader),
        "dense_motion": dense,
        "generator": {
            **reader.encoder("generator", 512),
            "num_bottleneck_blocks": reader.count("generator.bottleneck.r"),
            "estimate_occlusion_map": "dense_motion.occlusion.weight" in shapes,
        },
    }
    if "keypoint_detector.jacobian.weight" not in shapes:
        assumed["model.detector.pca"] = True
    else:
        detector["pca"] = False
    if reader.has("avd"):
        model["avd"] = reader.avd()
        assumed["animate.mode"] = "avd"
    return assuming(model, assumed)


def _background(reader: ShapeReader) -> dict[str, Any]:
    if not reader.has("background_predictor"):
        return {"type": "zero"}
    numbers = reader.shape("background_predictor.fc.weight", 2)[0]
    if numbers not in _BACKGROUNDS:
        reader.refuse(f"background_predictor gives {numbers} numbers, not 2, 6 or 8")
    prefix = "background_predictor.encoder"
    count = reader.count(f"{prefix}.down_blocks.")
    widths = [reader.shape(f"{prefix}.down_blocks.{i}.conv.weight", 4)[0] for i in range(count)]
    if not widths or widths[0] % 2:
        reader.refuse(f"background_predictor's first block is {widths[0] if widths else 0} wide")
    first = widths[0] // 2
    cap = reader.cap(prefix, 1024, first, widths)
    return {"type": _BACKGROUNDS[numbers], "block_expansion": first, "max_features": cap, "num_blocks": count}


def check(config: RegionsConfig, published: Shapes, where: str) -> None:
    """Refuse a given config whose scales are not those of the stored kernels."""
    reader = ShapeReader({}, published, where)
    for name, kernel in _KERNELS.items():
        check_scale(getattr(config, name).scale_factor, name, reader.kernel(kernel), where)

"""Checkpoints and configs of AliaksandrSiarohin/first-order-model: their names, and the architecture off their shapes.

Names are ours at the top and the published ones below (`generator.down_blocks.0.conv.weight`), as `RULES` gives them.
What no shape shows is assumed, and each assumption is named in the result so that it can be told.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from fomm_cli.errors import FommError
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.upstream import KEYS, SILENT, in_our_terms
from fomm_cli.model.published import Architecture, Shapes

__all__ = ["KEYS", "OPTIONAL", "REQUIRED", "RULES", "SILENT", "WHAT", "check", "in_our_terms", "read_architecture"]

WHAT = "A first-order-model checkpoint is a dict with generator and kp_detector, and perhaps discriminator."
REQUIRED = ("generator", "kp_detector")
OPTIONAL = ("discriminator",)
RULES: dict[str, str | None] = {
    "generator.dense_motion_network.down.": None,  # the anti-alias kernel: a constant of the scale, not a weight
    "kp_detector.down.": None,  # likewise
    "generator.dense_motion_network.": "dense_motion.",
    "generator.": "generator.",
    "kp_detector.": "keypoint_detector.",
    "discriminator.": "discriminator.",
}
# Published kernel -> our network, and the section that holds its scale.
_KERNELS = {
    "kp_detector.down.weight": ("keypoint_detector", "detector"),
    "generator.dense_motion_network.down.weight": ("dense_motion", "dense_motion"),
}

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
# Where no block reaches the cap, any larger cap builds the same network; the published ones are then chosen.
_CAPS = {"detector": 1024, "dense_motion": 1024, "generator": 512, "discriminator": 512}


def read_architecture(shapes: Shapes, published: Shapes) -> Architecture:
    """The config of a checkpoint.

    shapes     our name -> shape
    published  published name -> shape: the stored anti-alias kernels tell the scales; absent = scale 1
    Raises FommError where the shapes are not those of a first-order motion model.
    """
    kernels = _kernels(published)
    assumed = dict(ASSUMED)
    detector, channels = _hourglass(shapes, "keypoint_detector.predictor", "detector")
    num_kp = _shape(shapes, "keypoint_detector.kp.weight", 4)[0]
    maps = shapes.get("keypoint_detector.jacobian.weight", (0,))[0]
    if maps not in (0, 4, 4 * num_kp):
        _refuse(f"keypoint_detector.jacobian has {maps} maps, not 4 or {4 * num_kp} for {num_kp} keypoints")
    detector["single_jacobian_map"] = maps == 4 and num_kp > 1
    dense, dense_channels = _hourglass(shapes, "dense_motion.hourglass", "dense_motion")
    if dense_channels != (num_kp + 1) * (channels + 1):
        _refuse(
            f"dense_motion takes {dense_channels} channels, not {(num_kp + 1) * (channels + 1)} for {num_kp} keypoints "
            f"and {channels} image channels"
        )
    for part, section in (("keypoint_detector", detector), ("dense_motion", dense)):
        section["scale_factor"] = _scale(part, kernels.get(part))
        if part not in kernels:
            assumed[f"model.{'detector' if part == 'keypoint_detector' else part}.scale_factor"] = 1.0
    model: dict[str, Any] = {
        "num_kp": num_kp,
        "num_channels": channels,
        "estimate_jacobian": maps > 0,
        "detector": detector,
        "dense_motion": dense,
        "generator": _generator(shapes),
    }
    if any(name.startswith("discriminator.") for name in shapes):
        model["discriminator"] = _discriminator(shapes, num_kp, channels)
    else:
        del assumed["model.discriminator.kp_variance"]
    tree: dict[str, Any] = {"model": model, "data": {}}
    for key, value in assumed.items():
        *parents, leaf = key.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[leaf] = value
    return Architecture(tree, assumed)


def check(config: FirstOrderConfig, published: Shapes, where: str) -> None:
    """The one thing a stored kernel tells about a given config is its scale: refuse another."""
    kernels = _kernels(published)
    for part, key in _KERNELS.values():
        scale = getattr(config, key).scale_factor
        side = 2 * round(4 * (1 / scale - 1) / 2) + 1
        if part in kernels and kernels[part] != side:
            raise FommError(
                f"{where}: model.{key}.scale_factor is {scale:g} in the config, but the checkpoint's anti-alias kernel "
                f"is {kernels[part]} wide, not {side}.",
                "Convert without --config to read the scale from the checkpoint.",
            )


def _kernels(published: Shapes) -> dict[str, int]:
    """Our network -> side of its stored anti-alias kernel."""
    found = {part: published.get(name, ()) for name, (part, _) in _KERNELS.items()}
    return {part: shape[-1] for part, shape in found.items() if len(shape) == 4}


def _hourglass(shapes: Shapes, prefix: str, part: str) -> tuple[dict[str, Any], int]:
    """(block_expansion, max_features, num_blocks; input channels) of the hourglass at `prefix`."""
    count = _count(shapes, f"{prefix}.encoder.down_blocks.")
    if _count(shapes, f"{prefix}.decoder.up_blocks.") != count or count == 0:
        _refuse(f"{prefix} is no hourglass: its down and up blocks do not pair")
    down = [_shape(shapes, f"{prefix}.encoder.down_blocks.{i}.conv.weight", 4) for i in range(count)]
    first = _shape(shapes, f"{prefix}.decoder.up_blocks.{count - 1}.conv.weight", 4)[0]  # the last block up is e wide
    cap = _cap(prefix, part, first, [shape[0] for shape in down])
    return {"block_expansion": first, "max_features": cap, "num_blocks": count}, down[0][1]


def _generator(shapes: Shapes) -> dict[str, Any]:
    first = _shape(shapes, "generator.first.conv.weight", 4)[0]
    count = _count(shapes, "generator.down_blocks.")
    widths = [_shape(shapes, f"generator.down_blocks.{i}.conv.weight", 4)[0] for i in range(count)]
    return {
        "block_expansion": first,
        "max_features": _cap("generator", "generator", first, widths),
        "num_down_blocks": count,
        "num_bottleneck_blocks": _count(shapes, "generator.bottleneck.r"),
        "estimate_occlusion_map": "dense_motion.occlusion.weight" in shapes,
    }


def _discriminator(shapes: Shapes, num_kp: int, channels: int) -> dict[str, Any]:
    names = list(dict.fromkeys(name.split(".")[2] for name in shapes if name.startswith("discriminator.discs.")))
    if not names:
        _refuse("the discriminator has no discs")
    prefix = f"discriminator.discs.{names[0]}"
    sn = f"{prefix}.conv.weight_orig" in shapes
    weight = "conv.weight_orig" if sn else "conv.weight"
    count = _count(shapes, f"{prefix}.down_blocks.")
    blocks = [_shape(shapes, f"{prefix}.down_blocks.{i}.{weight}", 4) for i in range(count)]
    if not blocks:
        _refuse("the discriminator has no blocks")
    extra = blocks[0][1] - channels
    if extra not in (0, num_kp):
        _refuse(f"the discriminator takes {blocks[0][1]} channels, not {channels} or {channels + num_kp}")
    widths = [shape[0] for shape in blocks]
    first = widths[0] // 2 if widths[0] % 2 == 0 else widths[0]  # block 0 is 2e wide unless capped
    return {
        "scales": [_disc_scale(name) for name in names],
        "block_expansion": first,
        "max_features": _cap("discriminator", "discriminator", first, widths),
        "num_blocks": count,
        "sn": sn,
        "use_kp": extra > 0,
    }


def _cap(prefix: str, part: str, first: int, widths: list[int]) -> int:
    """max_features of blocks that should be min(max_features, first * 2^(i+1)) wide."""
    free = [first * 2 ** (i + 1) for i in range(len(widths))]
    widest = max(widths, default=first)
    cap = max(_CAPS[part], widest) if widths == free else widest
    if [min(cap, width) for width in free] != widths:
        _refuse(f"{prefix}: widths {widths} do not double from {first} up to a cap")
    return cap


def _scale(part: str, kernel: int | None) -> float:
    """The scale whose Gaussian, 2 round(4 sigma) + 1 wide with sigma = (1/scale - 1) / 2, has this side."""
    if kernel is None:
        return 1.0
    for power in range(1, 6):
        if 2 * round(4 * (2**power - 1) / 2) + 1 == kernel:
            return 0.5**power
    _refuse(f"{part}.down.weight is {kernel} wide; scales 1/2, 1/4, 1/8, ... give 5, 13, 29, ...")


def _disc_scale(name: str) -> float:
    """`1` -> 1.0, `0-5` -> 0.5: a module name has no dots."""
    try:
        return float(name.replace("-", "."))
    except ValueError:
        _refuse(f"discriminator.discs.{name} names no scale")


def _count(shapes: Shapes, prefix: str) -> int:
    """How many blocks 0, 1, 2, ... follow `prefix`; a gap is an error."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    found = {int(match[1]) for name in shapes if (match := pattern.match(name))}
    if found != set(range(len(found))):
        _refuse(f"{prefix}* is numbered {sorted(found)[:10]}")
    return len(found)


def _shape(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        _refuse(f"{name} is missing")
    if len(shape) != axes or min(shape) < 1:
        _refuse(f"{name} has shape {list(shape)}")
    return shape


def _refuse(what: str) -> NoReturn:
    raise FommError(
        f"These are not the shapes of a first-order motion model: {what}.",
        "Checkpoints of models that `fomm weights list` does not name cannot be converted.",
    )

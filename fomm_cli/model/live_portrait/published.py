"""The published networks in our names: five files, prefixes, and the spectral norm divided out.

Both releases are the same five files: torch's `.pth` (github.com/KwaiVGI/LivePortrait) and safetensors
(hf://Kijai/LivePortrait_safetensors), whose keys differ in the small networks alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.published import Architecture, Shapes

if TYPE_CHECKING:
    from torch import Tensor

WHAT = "A LivePortrait is five files, .pth or .safetensors, in one folder: appearance_feature_extractor and four more."
FILES: tuple[str, ...] = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)
"""The first four hold one network each."""

REQUIRED = (*FILES[:-1], "retarget_shoulder", "retarget_mouth", "retarget_eye")
OPTIONAL: tuple[str, ...] = ()
EPOCH = "epoch"
RULES: dict[str, str | None] = {
    "appearance_feature_extractor.": "appearance.",
    "motion_extractor.detector.": "keypoint_detector.",
    "motion_extractor.": "keypoint_detector.",
    "warping_module.dense_motion_network.": "dense_motion.",
    "warping_module.": "generator.",
    "spade_generator.G_middle_": "generator.middle_blocks.",
    "spade_generator.up_": "generator.up_blocks.",
    "spade_generator.": "generator.",
    "retarget_shoulder.": "stitching.",
    "retarget_mouth.": "lip.",
    "retarget_eye.": "eyes.",
}
KEYS: dict[str, str | None] = {}
SILENT: dict[str, Any] = {}


def gather(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Tensor]]:
    """Network -> key -> tensor of what the FILES hold, whichever release they are of."""
    parts: dict[str, dict[str, Tensor]] = {}
    for file, content in stored.items():
        if file != FILES[-1]:
            parts[file] = dict(content)
            continue
        for key, value in content.items():
            if isinstance(value, Mapping):  # a dict a network, saved from inside DistributedDataParallel
                parts[key] = {inner.replace("module.", ""): each for inner, each in value.items()}
            else:  # one flat dict: retarget_eye_module.mlp.0.weight
                network, _, rest = key.partition(".")
                parts.setdefault(network.removesuffix("_module"), {})[rest] = value
    return {network: divided(tensors) for network, tensors in parts.items()}


def divided(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under spectral norm (the old style of torch) divided by u . (W v), as the original does every frame."""
    state = dict(tensors)
    for key in tensors:
        stem = key.removesuffix("_orig")
        if stem == key or not all(f"{stem}{end}" in state for end in ("_u", "_v")):
            continue
        weight, u, v = (state.pop(f"{stem}{end}").double() for end in ("_orig", "_u", "_v"))
        if u.shape == weight.shape[:1] and v.numel() * len(u) == weight.numel():
            state[stem] = (weight / (u @ (weight.flatten(1) @ v))).float()
    return state


def read_architecture(shapes: Shapes, published: Shapes) -> Architecture:
    """There is one size; whatever else comes in such files is refused by the comparison of keys and shapes."""
    return Architecture({"model": {"family": "live_portrait"}, "data": {"frame_shape": [256, 256]}}, {})


def check(config: LivePortraitConfig, published: Shapes, where: str) -> None:
    """Nothing beside the shapes tells of a config."""


def in_our_terms(key: str, value: Any) -> Any:
    """Its authors' settings are Python, which is not read: KEYS is empty."""
    return value

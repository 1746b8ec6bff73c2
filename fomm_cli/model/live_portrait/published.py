"""The published networks in our names: prefixes, and the spectral norm divided out.

Both releases are the same five files: torch's `.pth` (github.com/KwaiVGI/LivePortrait) and safetensors
(hf://Kijai/LivePortrait_safetensors), whose keys differ in the small networks alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FILES = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)
"""Names of the published files, without their suffix; the first four hold one network each."""

STITCHING = ("retarget_shoulder", "retarget_mouth", "retarget_eye")
"""The three networks of the last file."""

# Published name -> ours, the first match wins.
RULES = {
    "appearance_feature_extractor.": "appearance.",
    "motion_extractor.detector.": "keypoint_detector.",
    "warping_module.dense_motion_network.": "dense_motion.",
    "warping_module.": "generator.",
    "spade_generator.G_middle_": "generator.middle_blocks.",
    "spade_generator.up_": "generator.up_blocks.",
    "spade_generator.": "generator.",
    "retarget_shoulder.": "stitching.",
    "retarget_mouth.": "lip.",
    "retarget_eye.": "eyes.",
}
_NORMED = ("weight_orig", "weight_u", "weight_v")


def flat(file: str, stored: Mapping[str, Tensor | Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What one of FILES holds as NETWORK.KEY -> tensor, whichever release it is of."""
    if file != FILES[-1]:
        return {f"{file}.{key}": value for key, value in stored.items() if isinstance(value, Tensor)}
    found: dict[str, Tensor] = {}
    for key, value in stored.items():
        if isinstance(value, Tensor):  # one flat dict: retarget_eye_module.mlp.0.weight
            network, _, rest = key.partition(".")
            found[f"{network.removesuffix('_module')}.{rest}"] = value
        else:  # a dict a network, saved from inside DistributedDataParallel
            found |= {f"{key}.{inner.removeprefix('module.')}": each for inner, each in value.items()}
    return found


def rename(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """NETWORK.KEY -> tensor in our names, as float32; what no rule knows keeps its name.

    A weight under spectral norm is stored as it was before, with the two vectors of its last power iteration (the old
    style of torch): divided here by u . (W v), as the original does for every frame.
    """
    state = {}
    for name, value in published.items():
        stem, _, last = name.rpartition(".")
        if last in _NORMED[1:] and f"{stem}.weight_orig" in published:
            continue
        if last == "weight_orig" and all(f"{stem}.{each}" in published for each in _NORMED):
            matrix, u, v = (published[f"{stem}.{each}"].double() for each in _NORMED)
            value, last = (matrix / torch.dot(u, matrix.flatten(1) @ v)).float(), "weight"
        prefix = next((prefix for prefix in RULES if name.startswith(prefix)), "")
        ours = f"{stem}.{last}".removeprefix(prefix)
        state[RULES.get(prefix, "") + ours] = value.float() if value.is_floating_point() else value
    return state

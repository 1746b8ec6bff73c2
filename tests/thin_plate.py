"""Thin-plate models filled by the recipe of their reference tensors: no weights are stored, they are made by name."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from fomm_cli.config.translation import translate
from fomm_cli.model.thin_plate.network import ThinPlateModel
from fomm_cli.weights.file import build_model

VARIANTS = ["normal", "no_background", "non_square", "single_mask", "half_scale", "eighth_scale", "unscaled"]

PARTS = {
    "kp_detector": "keypoint_detector",
    "dense_motion_network": "dense_motion",
    "inpainting_network": "generator",
    "bg_predictor": "background_predictor",
    "avd_network": "avd",
}
"""Published part -> ours."""

_SMALLER = {
    "kp_detector.fg_encoder.fc.weight": 0.6,
    "bg_predictor.bg_encoder.fc.weight": 0.02,
    "avd_network.decoder.9.weight": 0.25,
}


def recipe(name: str, shape: Sequence[int], seed: int) -> Tensor:
    """The tensor of a published name, such as `kp_detector.fg_encoder.conv1.weight`."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(100)
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + seed)).standard_normal(tuple(shape))
    if name.endswith("running_var"):
        noise = 1 + np.abs(noise) / 2
    elif name.endswith("running_mean"):
        noise = noise / 10
    elif name.endswith("bias"):
        noise = noise / 20
        if name == "bg_predictor.bg_encoder.fc.bias":
            noise = noise + np.array([1, 0, 0, 0, 1, 0])
    elif len(shape) == 1:
        noise = 1 + noise / 10
    else:
        noise = noise * np.sqrt(2 / np.prod(shape[1:])) * _SMALLER.get(name, 1)
    return torch.from_numpy(noise.astype(np.float32))


def published_state(layout: Mapping[str, Mapping[str, Sequence[int]]], seed: int) -> dict[str, dict[str, Tensor]]:
    """The networks of a published checkpoint, filled by the recipe; its constant anti-alias kernel left out."""
    return {
        part: {key: recipe(f"{part}.{key}", shape, seed) for key, shape in keys.items() if key != "down.weight"}
        for part, keys in layout.items()
    }


def golden_thin_plate_config(params: Mapping[str, Any], size: Sequence[int], train: Mapping[str, Any]) -> Config:
    """Our config of a variant, whose architecture is written in the published vocabulary."""
    tree, _ = translate({"model_params": params, "train_params": train})
    tree["data"] |= {"frame_shape": list(size)}
    return build(tree)


def golden_thin_plate_model(folder: Path, variant: str) -> ThinPlateModel:
    """A variant's network with its reference weights, loaded strictly, in eval mode."""
    stored = json.loads((folder / "configs.json").read_text())[variant]
    config = golden_thin_plate_config(stored["model_params"], stored["size"], {})
    model = build_model(config, ["avd"])
    assert isinstance(model, ThinPlateModel)
    model.load_state_dict(our_state(folder, variant, stored["seed"]))
    return model.eval()


def our_state(folder: Path, variant: str, seed: int, parts: Sequence[str] = tuple(PARTS)) -> dict[str, Tensor]:
    """A variant's reference weights under our names."""
    layout = json.loads((folder / "layouts.json").read_text())[variant]
    state = published_state(layout, seed)
    return {f"{PARTS[part]}.{key}": value for part in state if part in parts for key, value in state[part].items()}

"""Articulated-regions networks of the reference checkpoints, in float64.

The originals' numbers are float32 and carry its rounding, up to 5e-5 in a picture; ours then add none of their own, on
any processor.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from fomm_cli.config.translation import translate
from fomm_cli.model.avd import DisentanglementNetwork
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.network import RegionsModel
from fomm_cli.model.regions.published import RULES


def regions_config(golden: Path, variant: str, **train: Any) -> Config:
    """Our config of a variant, whose architecture is written in the published vocabulary."""
    published = json.loads((golden / "configs.json").read_text())[variant]
    size = published.pop("image")
    tree, _ = translate({"model_params": published})
    tree["data"]["frame_shape"] = size
    tree["name"] = variant
    tree["train"] = train
    return build(tree)


def ours(name: str) -> str | None:
    """Our name of a published tensor; None of an anti-alias kernel, which is a constant."""
    prefix = next(prefix for prefix in RULES if name.startswith(prefix))
    new = RULES[prefix]
    return None if new is None else new + name.removeprefix(prefix)


def regions_state(golden: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a published-format checkpoint under our names."""
    checkpoint = torch.load(golden / f"{name}.pth.tar", map_location="cpu", weights_only=True)
    found = {
        ours(f"{part}.{key}"): value
        for part in ("generator", "region_predictor", "bg_predictor")
        for key, value in checkpoint[part].items()
    }
    return {key: value for key, value in found.items() if key is not None}


def avd_state(network: DisentanglementNetwork) -> dict[str, Tensor]:
    """The reference's disentanglement weights: a recipe, since 9 MB of noise need not be stored."""
    state = {}
    for key, like in network.state_dict().items():
        source = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()) + 5))
        noise = source.standard_normal(tuple(like.shape)).astype(np.float32)
        if like.dim() == 2:
            noise *= np.sqrt(np.float32(2 / like.shape[1]))
            noise *= np.float32(0.1 if key == "decoder.9.weight" else 1)
        elif key.endswith("running_mean"):
            noise *= np.float32(0.1)
        elif key.endswith("running_var"):
            noise = 1 + np.float32(0.2) * np.abs(noise)
        elif key.endswith("num_batches_tracked"):
            noise = np.zeros((), np.int64)
        elif key.endswith("weight"):
            noise = 1 + np.float32(0.1) * noise
        else:
            noise *= np.float32(0.05)
            if key == "decoder.9.bias":
                noise += np.tile(np.float32([0, 0, 0.3, 0, 0, 0.3]), len(noise) // 6)
        state[key] = torch.from_numpy(noise)
    return state


def regions_model(golden: Path, variant: str, avd: bool = False) -> RegionsModel:
    """A variant's network in eval mode and float64, loaded strictly."""
    config = regions_config(golden, variant)
    assert isinstance(config.model, RegionsConfig)
    model = RegionsModel(config.model, config.data.frame_shape)
    state = regions_state(golden, variant)
    if avd:
        model.add("avd")
        assert model.avd is not None
        state |= {f"avd.{key}": value for key, value in avd_state(model.avd).items()}
    model.load_state_dict(state)
    return model.double().eval()


def regions_tensors(golden: Path, name: str) -> dict[str, Tensor]:
    """The originals' numbers, as float64."""
    return {key: value.double() for key, value in load_file(golden / f"{name}.safetensors").items()}

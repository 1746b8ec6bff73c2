"""Models built from the reference checkpoints, for every test that needs a known network."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from fomm_cli.config.translation import translate
from fomm_cli.model.first_order.discriminator import Discriminator
from fomm_cli.model.first_order.network import FirstOrderModel

VARIANTS = [
    "first_order",
    "single_jacobian",
    "zero_order",
    "no_occlusion",
    "padded_heatmap",
    "kp_discriminator",
    "two_scale",
    "resized_flow",
    "one_down_block",
    "unscaled_detector",
    "non_square",
]


def golden_config(golden: Path, variant: str, align_corners: bool = True) -> Config:
    """Our config of a variant, whose architecture is written in the published vocabulary."""
    tree, _ = translate({"model_params": json.loads((golden / "configs.json").read_text())[variant]})
    tree["model"]["align_corners"] = align_corners
    tree["data"]["frame_shape"] = [64, 96] if variant == "non_square" else [64, 64]
    tree["name"] = variant
    return build(tree)


def golden_state(golden: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(model, discriminator) state of a published-format checkpoint, under our names."""
    checkpoint = torch.load(golden / f"{name}.pth.tar", map_location="cpu", weights_only=True)
    state = {f"keypoint_detector.{key}": value for key, value in checkpoint["kp_detector"].items()}
    for key, value in checkpoint["generator"].items():
        if key.startswith("dense_motion_network."):
            state["dense_motion." + key.removeprefix("dense_motion_network.")] = value
        else:
            state["generator." + key] = value
    state = {key: value for key, value in state.items() if not key.endswith("down.weight")}
    discriminator = {k: v for k, v in checkpoint["discriminator"].items() if not k.endswith("down.weight")}
    return state, discriminator


def golden_model(golden: Path, variant: str, align_corners: bool = True) -> FirstOrderModel:
    """A variant's network in eval mode, loaded strictly."""
    config = golden_config(golden, variant, align_corners)
    model = FirstOrderModel(config.model, config.data.frame_shape)
    model.load_state_dict(golden_state(golden, variant)[0])
    return model.eval()


def golden_discriminator(golden: Path, variant: str) -> Discriminator:
    """A variant's discriminator in eval mode, loaded strictly."""
    discriminator = Discriminator(golden_config(golden, variant).model)
    discriminator.load_state_dict(golden_state(golden, variant)[1])
    return discriminator.eval()

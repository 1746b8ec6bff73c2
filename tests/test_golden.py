"""Every published variant of the network gives the original's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.model.families import FAMILIES
from fomm_cli.model.first_order.discriminator import ImagePyramid
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.pose import mapped
from tests.golden import VARIANTS, golden_discriminator, golden_model

CASES = [(variant, True) for variant in VARIANTS] + [("first_order", False)]


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def stored_keypoints(tensors: dict[str, Tensor], prefix: str) -> Keypoints:
    return Keypoints(tensors[f"{prefix}.value"], tensors.get(f"{prefix}.jacobian"))


@pytest.mark.parametrize(("variant", "align_corners"), CASES)
@torch.inference_mode()
def test_network_gives_the_original_numbers(golden: Path, variant: str, align_corners: bool) -> None:
    tensors = load_file(golden / f"{variant}.safetensors")
    model = golden_model(golden, variant, align_corners)
    prefix = f"align_corners_{str(align_corners).lower()}"
    source, driving = tensors["input.source"], tensors["input.driving"]

    kp_source, kp_driving = model.detect(source), model.detect(driving)
    for ours, name in ((kp_source, "kp_source"), (kp_driving, "kp_driving")):
        stored = stored_keypoints(tensors, f"{prefix}.{name}")
        close(ours.value, stored.value, 1e-5)
        assert (ours.jacobian is None) == (stored.jacobian is None)
        if ours.jacobian is not None and stored.jacobian is not None:
            close(ours.jacobian, stored.jacobian, 1e-5)

    encoded = model.encode(source)
    out = model.render(encoded, kp_source, kp_driving)  # one source, four driving frames
    assert out.deformed is not None
    checked = 0
    for frame in range(len(driving)):
        at = f"{prefix}.absolute.{frame}"
        if f"{at}.prediction" not in tensors:
            continue
        one = slice(frame, frame + 1)
        close(out.prediction[one], tensors[f"{at}.prediction"], 1e-5)
        close(out.flow[one], tensors[f"{at}.flow"], 1e-5)
        close(out.motion.mask[one], tensors[f"{at}.mask"], 1e-5)
        close(out.motion.candidates_warped[one], tensors[f"{at}.sparse_deformed"], 5e-5)
        close(out.deformed[one], tensors[f"{at}.deformed"], 5e-5)
        assert (out.occlusion is None) == (f"{at}.occlusion_map" not in tensors)
        if out.occlusion is not None:
            close(out.occlusion[one], tensors[f"{at}.occlusion_map"], 1e-5)
        checked += 1
    assert checked == (4 if variant == "first_order" else 1)


@pytest.mark.parametrize(("variant", "align_corners"), CASES)
@pytest.mark.parametrize(("kind", "adapt_scale"), [("relative", False), ("relative_adapt", True)])
@torch.inference_mode()
def test_relative_motion_gives_the_original_numbers(
    golden: Path, variant: str, align_corners: bool, kind: str, adapt_scale: bool
) -> None:
    tensors = load_file(golden / f"{variant}.safetensors")
    model = golden_model(golden, variant, align_corners)
    prefix = f"align_corners_{str(align_corners).lower()}"
    source, driving = tensors["input.source"], tensors["input.driving"]
    kp_source, kp_driving = model.detect(source), model.detect(driving)
    initial = mapped(kp_driving, lambda tensor: tensor[:1])
    moved = FAMILIES["first_order"].transfer(kp_source, kp_driving, initial, mode="relative", adapt_scale=adapt_scale)
    out = model.render(model.encode(source), kp_source, moved)
    checked = 0
    for frame in range(len(driving)):
        at = f"{prefix}.{kind}.{frame}"
        if f"{at}.prediction" not in tensors:
            continue
        stored = stored_keypoints(tensors, f"{at}.kp_norm")
        one = slice(frame, frame + 1)
        close(moved.value[one], stored.value, 1e-5)
        if moved.jacobian is not None and stored.jacobian is not None:
            close(moved.jacobian[one], stored.jacobian, 1e-5)
        close(out.prediction[one], tensors[f"{at}.prediction"], 1e-5)
        checked += 1
    assert checked == (4 if variant == "first_order" else 1)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_pyramid_and_discriminator_give_the_original_numbers(golden: Path, variant: str) -> None:
    tensors = load_file(golden / f"{variant}.safetensors")
    driving = tensors["input.driving"]
    stored = [key for key in tensors if key.startswith("pyramid.")]
    scales = tuple(float(key.rpartition("_")[2]) for key in stored)
    for key, ours in zip(stored, ImagePyramid(scales, 3)(driving), strict=True):
        close(ours, tensors[key], 1e-6)

    discriminator = golden_discriminator(golden, variant)
    kp = stored_keypoints(tensors, "align_corners_true.kp_driving")
    judgements = discriminator(driving, kp)
    for name, judgement in zip(discriminator.discs, judgements, strict=True):
        scale = name.replace("-", ".")
        close(judgement.map, tensors[f"discriminator.prediction_map_{scale}"], 5e-5)
        for block, features in enumerate(judgement.features):
            close(features, tensors[f"discriminator.feature_maps_{scale}.{block}"], 5e-5)


def test_the_two_conventions_differ(golden: Path) -> None:
    """The stored numbers of both conventions are far apart, so that neither test above can pass by accident."""
    tensors = load_file(golden / "first_order.safetensors")
    true, false = (tensors[f"align_corners_{way}.absolute.1.deformed"] for way in ("true", "false"))
    assert (true - false).abs().max() > 0.01

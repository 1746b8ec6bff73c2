"""Every variant of the thin-plate network gives the original's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.model.families import FAMILIES
from fomm_cli.model.pose import mapped
from fomm_cli.model.thin_plate.generator import warped
from fomm_cli.model.thin_plate.pose import SplinePoints
from fomm_cli.model.thin_plate.splines import candidates, evidence, fit, solve
from fomm_cli.model.types import Rendering
from tests.thin_plate import VARIANTS, golden_thin_plate_model, published_state

SPLINES = ["random", "near", "identity", "collinear", "coincident", "clump"]
TOLERANCES = {
    "kp_driving": 1e-5,
    "tps.theta": 2e-5,
    "tps.control_params": 2e-5,
    "transformations": 2e-5,
    "heatmap": 2e-5,
    "contribution_maps": 2e-5,
    "deformation": 1e-5,
    "occlusion_map": 1e-4,
    "deformed_source": 2e-4,
    "deformed": 2e-4,
    "warped_encoder_maps": 2e-4,
    "prediction": 2e-4,
}


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def row(pose: SplinePoints, index: int) -> SplinePoints:
    return SplinePoints(pose.value[index : index + 1])


def compare_frame(tensors: dict[str, Tensor], at: str, out: Rendering, frame: int) -> int:
    """Everything stored of a frame against ours; how many tensors that were."""
    ours = {
        "prediction": out.prediction,
        "deformation": out.flow,
        "deformed": out.deformed,
        "contribution_maps": out.motion.mask,
        "deformed_source": out.motion.candidates_warped,
        **{f"occlusion_map.{place}": value for place, value in enumerate(out.motion.occlusions)},
    }
    compared = 0
    for name, value in ours.items():
        if f"{at}.{name}" in tensors:
            assert value is not None
            close(value[frame : frame + 1], tensors[f"{at}.{name}"], TOLERANCES[name.rstrip(".0123")])
            compared += 1
    assert f"{at}.occlusion_map.{len(out.motion.occlusions)}" not in tensors
    return compared


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_network_gives_the_original_numbers(golden_thin_plate: Path, variant: str) -> None:
    tensors = load_file(golden_thin_plate / f"{variant}.safetensors")
    model = golden_thin_plate_model(golden_thin_plate, variant)
    source, driving = tensors["input.source"], tensors["input.driving"]
    pose_source, pose_driving = model.detect(source), model.detect(driving)
    close(pose_source.value, tensors["kp_source"], 1e-5)
    close(row(pose_driving, 1).value, tensors["standard.1.kp_driving"], 1e-5)

    encoded = model.encode(source)
    close(encoded.small, tensors["small"], 1e-6)
    out = model.render(encoded, pose_source, pose_driving)  # one source, all driving frames
    assert compare_frame(tensors, "standard.1", out, 1) >= 4
    one = row(pose_driving, 1)
    splines = fit(pose_source.value, one.value)
    close(splines.theta, tensors["standard.1.tps.theta"], 2e-5)
    close(splines.control, tensors["standard.1.tps.control_params"], 2e-5)

    if "reconstruction.1.bg_param" in tensors:
        background = model.background(source, driving[1:2])
        assert background is not None
        close(background, tensors["reconstruction.1.bg_param"], 1e-5)
        behind = model.render(encoded, pose_source, one, background)
        assert compare_frame(tensors, "reconstruction.1", behind, 0) >= 1
    else:
        assert model.background(source, driving) is None


@torch.inference_mode()
def test_the_parts_of_dense_motion_give_the_original_numbers(golden_thin_plate: Path) -> None:
    tensors = load_file(golden_thin_plate / "normal.safetensors")
    model = golden_thin_plate_model(golden_thin_plate, "normal")
    pose_source, pose_driving = SplinePoints(tensors["kp_source"]), SplinePoints(tensors["standard.1.kp_driving"])
    height, width = tensors["small"].shape[2:]
    points = (pose_source.value, pose_driving.value, height, width)
    close(candidates(*points, background=None), tensors["standard.1.transformations"], 2e-5)
    close(evidence(*points, variance=0.01), tensors["standard.1.heatmap"], 2e-5)
    affine = tensors["reconstruction.1.bg_param"]
    close(candidates(*points, background=affine), tensors["reconstruction.1.transformations"], 2e-5)

    encoded = model.encode(tensors["input.source"])
    out = model.render(encoded, pose_source, pose_driving)
    for place, ours in enumerate(warped(encoded.features, out.motion)):
        close(ours, tensors[f"standard.1.warped_encoder_maps.{place}"], 2e-4)


@pytest.mark.parametrize("variant", ["normal", "no_background"])
@torch.inference_mode()
def test_moved_poses_give_the_original_numbers(golden_thin_plate: Path, variant: str) -> None:
    tensors = load_file(golden_thin_plate / f"{variant}.safetensors")
    model = golden_thin_plate_model(golden_thin_plate, variant)
    source, driving = tensors["input.source"], tensors["input.driving"]
    pose_source, pose_driving = model.detect(source), model.detect(driving)
    family = FAMILIES["thin_plate"]
    moved = family.transfer(pose_source, pose_driving, row(pose_driving, 0), mode="relative", adapt_scale=False)
    for frame in range(1, len(driving)):
        close(row(moved, frame).value, tensors[f"relative.{frame}.kp_driving"], 1e-5)
    assert family.transfer(pose_source, pose_driving, mode="absolute") is pose_driving
    poses = [mapped(pose, np.asarray) for pose in (pose_source, pose_driving, row(pose_driving, 0))]
    assert isinstance(family.transfer(*poses).value, np.ndarray)

    disentangled = model.disentangle(pose_source, row(pose_driving, 1))
    close(disentangled.value, tensors["avd.1.kp_driving"], 1e-5)
    encoded = model.encode(source)
    close(model.render(encoded, pose_source, disentangled).prediction, tensors["avd.1.prediction"], 2e-4)
    if "relative.1.prediction" in tensors:
        close(model.render(encoded, pose_source, row(moved, 1)).prediction, tensors["relative.1.prediction"], 2e-4)


@pytest.mark.parametrize("case", SPLINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_splines_are_the_originals(golden_thin_plate: Path, case: str, dtype: torch.dtype) -> None:
    tensors = load_file(golden_thin_plate / "spline.safetensors")
    tolerance = 1e-10 if dtype == torch.float64 else 1e-2 if case == "clump" else 5e-5
    splines = fit(tensors[f"{case}.source"].to(dtype), tensors[f"{case}.driving"].to(dtype))
    # In a clump float32 itself is mostly rounding, the original as we: both are held against float64.
    stored = f"{case}.{'float64' if case == 'clump' else str(dtype).removeprefix('torch.')}"
    close(splines.theta[:, 0], tensors[f"{stored}.theta"].to(dtype), tolerance)
    close(splines.control[:, 0], tensors[f"{stored}.control_params"].to(dtype), tolerance)
    close(splines.on_grid(9, 13)[:, 0], tensors[f"{stored}.grid"].to(dtype), tolerance)


def test_the_elimination_is_an_inverse_where_pivots_are_needed() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(3, 4, 8, 8, generator=generator, dtype=torch.float64)
    matrix[..., 0, 0] = 0  # nothing to divide by without a swap
    right = torch.randn(3, 4, 8, 2, generator=generator, dtype=torch.float64)
    close(solve(matrix, right), torch.linalg.solve(matrix, right), 1e-9)
    assert torch.autograd.gradcheck(solve, (matrix[0, :1].requires_grad_(), right[0, :1].requires_grad_()))


def test_the_recipe_is_the_references(golden_thin_plate: Path) -> None:
    stored = json.loads((golden_thin_plate / "configs.json").read_text())["no_background"]
    layout = json.loads((golden_thin_plate / "layouts.json").read_text())["no_background"]
    for part, tensors in published_state(layout, stored["seed"]).items():
        total = sum(float(value.double().abs().sum()) for value in tensors.values())
        assert total == pytest.approx(stored["sum"][part], rel=1e-6), part

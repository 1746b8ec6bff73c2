"""Articulated regions give the original's numbers: inference, training steps, the disentanglement network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.model.regions.avd import RegionDisentanglement
from fomm_cli.model.regions.covariance import covariance, ellipses, principal_axes
from fomm_cli.model.regions.pose import Regions, carry
from fomm_cli.model.regions.training import RegionsTraining
from fomm_cli.train.state import State
from tests.golden_regions import avd_state, ours, regions_config, regions_model, regions_state, regions_tensors
from tests.test_train_step import golden_part, golden_vgg

FIELDS = dict(zip(Regions._fields, ("shift", "affine", "covar"), strict=True))


def close(found: Tensor, stored: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, stored, atol=tolerance, rtol=0)


def same_regions(found: Regions, tensors: dict[str, Tensor], at: str, tolerance: float = 1e-5) -> None:
    for field, theirs in FIELDS.items():
        close(getattr(found, field), tensors[f"{at}.{theirs}"], tolerance)


def row(pose: Regions, number: int) -> Regions:
    return Regions(*(field[number : number + 1] for field in pose))


@pytest.mark.parametrize("variant", ["pca", "regression"])
@torch.inference_mode()
def test_network_gives_the_original_numbers(golden_regions: Path, variant: str) -> None:
    tensors = regions_tensors(golden_regions, variant)
    model = regions_model(golden_regions, variant)
    source, driving = tensors["input.source"], tensors["input.driving"]
    pose_source, pose_driving = model.detect(source), model.detect(driving)
    same_regions(pose_source, tensors, "source")
    same_regions(pose_driving, tensors, "driving")

    background = model.background(source.expand_as(driving), driving)
    assert background is not None
    close(background, tensors["background"], 1e-6)
    encoded = model.encode(source)
    out = model.render(encoded, pose_source, pose_driving, background)  # one source, three driving frames
    plain = model.render(encoded, pose_source, pose_driving)
    frame, at = slice(1, 2), "reconstruction.1"
    assert out.occlusion is not None
    close(out.flow[frame], tensors[f"{at}.flow"], 1e-5)
    close(out.occlusion[frame], tensors[f"{at}.occlusion_map"], 1e-5)
    close(out.prediction[frame], tensors[f"{at}.prediction"], 5e-5)
    close(plain.flow[frame], tensors["standard.1.flow"], 1e-5)
    close(plain.prediction[frame], tensors["standard.1.prediction"], 5e-5)
    if variant == "pca":
        close(out.motion.mask[frame], tensors[f"{at}.mask"], 1e-5)
        close(out.motion.candidates_warped[frame], tensors[f"{at}.sparse_deformed"], 5e-5)


@pytest.mark.parametrize("variant", ["pca", "regression"])
@torch.inference_mode()
def test_relative_motion_gives_the_original_numbers(golden_regions: Path, variant: str) -> None:
    tensors = regions_tensors(golden_regions, variant)
    model = regions_model(golden_regions, variant)
    pose_source, pose_driving = model.detect(tensors["input.source"]), model.detect(tensors["input.driving"])
    moved = carry(pose_source, pose_driving, row(pose_driving, 0))
    for frame in range(len(pose_driving.value)):
        at = f"relative.{frame}.moved"
        if f"{at}.shift" in tensors:
            same_regions(row(moved, frame), tensors, at)
    out = model.render(model.encode(tensors["input.source"]), pose_source, moved)
    close(out.prediction[1:2], tensors["relative.1.prediction"], 5e-5)


@torch.inference_mode()
def test_disentangled_motion_gives_the_original_numbers(golden_regions: Path) -> None:
    tensors = regions_tensors(golden_regions, "pca")
    model = regions_model(golden_regions, "pca", avd=True)
    pose_source, pose_driving = model.detect(tensors["input.source"]), model.detect(tensors["input.driving"])
    moved = model.disentangle(pose_source, pose_driving)
    for frame in range(3):
        same_regions(row(moved, frame), tensors, f"avd.{frame}.moved")
    out = model.render(model.encode(tensors["input.source"]), pose_source, moved)
    close(out.prediction[1:2], tensors["avd.1.prediction"], 5e-5)


OURS = {
    "perceptual": "perceptual",
    "equivariance_value": "equivariance_shift",
    "equivariance_jacobian": "equivariance_affine",
    "grad_norm_generator": "generator",
    "grad_norm_kp_detector": "region_predictor",
    "grad_norm_background": "bg_predictor",
}


def golden_training(golden: Path) -> tuple[State, dict[str, Tensor], dict[str, Any]]:
    """The reference training's start in float64, its tensors, and what was written down."""
    told = json.loads((golden / "train_steps.json").read_text())
    config = regions_config(golden, "pca", scales=told["train_params"]["scales"], batch_size=2)
    state = State(config, torch.device("cpu"), golden_vgg(), dtype=torch.float64)
    state.model.load_state_dict(regions_state(golden, "train_start"))
    return state, load_file(golden / "train_steps.safetensors"), told


def test_three_training_steps_are_the_originals(golden_regions: Path) -> None:
    state, tensors, told = golden_training(golden_regions)
    for step, stored in enumerate(told["losses"]):
        values = dict(zip(state.names(), state.update([golden_part(tensors, step)]).tolist(), strict=True))
        assert values["skipped"] == 0
        flat = stored | stored["grad_norm"]
        for name, theirs in OURS.items():
            assert values[name] == pytest.approx(flat[theirs], rel=1e-6), (step, name)

    part, model = golden_part(tensors, 0), state.model.eval()
    with torch.no_grad():
        same_regions(model.detect(part.driving), tensors, "after.driving", 1e-6)
        background = model.background(part.source, part.driving)
        assert background is not None
        close(background, tensors["after.background"], 1e-6)


def test_first_gradients_are_the_originals(golden_regions: Path) -> None:
    state, tensors, told = golden_training(golden_regions)
    state.generator_pass(*golden_part(tensors, 0)).total.backward()
    found = dict(state.model.named_parameters())
    compared = 0
    for name, norm in told["gradients"].items():
        gradient = found[ours(name) or name].grad
        assert gradient is not None, name
        if norm > 1e-6:  # a bias before a batch norm has none
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-5), name
            compared += 1
    assert compared > 60


def test_training_the_disentanglement_network_gives_the_original_numbers(golden_regions: Path) -> None:
    tensors = regions_tensors(golden_regions, "train_avd")
    told = json.loads((golden_regions / "train_avd.json").read_text())
    recipe = RegionsTraining()
    network = RegionDisentanglement(regions_config(golden_regions, "pca").model)
    network.load_state_dict(avd_state(network))
    network.double().train()
    optimizer = torch.optim.Adam(network.parameters(), told["lr"], betas=(0.5, 0.999))
    for step, stored in enumerate(told["losses"]):
        identity, target = (
            Regions(tensors[f"step.{step}.{name}.shift"], tensors[f"step.{step}.{name}.affine"])
            for name in ("identity", "pose")
        )
        factors = 1 + told["random_scale"] * (2 * tensors[f"step.{step}.uniform"] - 1)
        made = network.disentangle(identity, recipe.stretched(target, factors))
        scene: Any = SimpleNamespace(disentangled=made, pose_driving=target)
        terms = {name: term(scene, told[f"lambda_{name}"]) for name, term in recipe.avd_terms.items()}
        for name, term in terms.items():
            assert term.item() == pytest.approx(stored[f"rec_{name}"], rel=1e-6), step
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        norm = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm()
        assert norm.item() == pytest.approx(stored["grad_norm"], rel=1e-6)
        optimizer.step()
    same_regions(network.eval().disentangle(identity, target), tensors, "after", 1e-6)


def random_covariances(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(count, 2, 2, generator=generator, dtype=torch.float64)
    return root @ root.mT


def test_axes_are_those_of_lapack() -> None:
    """Signs included, of both branches of the rule: the published disentanglement networks know them."""
    matrices = random_covariances(20_000)
    axes = principal_axes(matrices)
    torch.testing.assert_close(axes @ axes.mT, matrices, atol=1e-10, rtol=1e-10)
    u, s, _ = np.linalg.svd(matrices.numpy())
    np.testing.assert_allclose(axes.numpy(), u * np.sqrt(s)[:, None], atol=1e-6)


def test_degenerate_regions_have_finite_axes_and_gradients() -> None:
    """A heat map of one pixel, of one row, and a perfectly round one."""
    heatmap = torch.zeros(1, 3, 9, 9)
    heatmap[0, 0, 4, 4] = 1
    heatmap[0, 1, 2] = 1 / 9
    heatmap[0, 2, [3, 5, 4, 4], [4, 4, 3, 5]] = 0.25
    heatmap.requires_grad_(True)
    mean = torch.tensor([[[0.0, 0.0], [0.0, -0.5], [0.0, 0.0]]])
    extent = covariance(heatmap, mean)
    axes = principal_axes(extent)
    shown = ellipses(mean, extent, 9, 9)
    assert torch.isfinite(torch.linalg.inv(axes.double())).all()
    assert shown.min() >= 0
    assert shown.max() <= 1
    (axes.sum() + shown.sum()).backward()
    assert heatmap.grad is not None
    assert torch.isfinite(heatmap.grad).all()


def test_covariance_is_the_second_moment() -> None:
    generator = torch.Generator().manual_seed(0)
    heatmap = (
        torch.rand(2, 3, 5, 7, generator=generator, dtype=torch.float64).flatten(2).softmax(2).unflatten(2, (5, 7))
    )
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 7), torch.linspace(-1, 1, 5), indexing="xy"), -1).double()
    mean = torch.einsum("bkhw,hwx->bkx", heatmap, grid)
    offset = grid - mean[:, :, None, None]
    expected = torch.einsum("bkhw,bkhwx,bkhwy->bkxy", heatmap, offset, offset)
    torch.testing.assert_close(covariance(heatmap, mean), expected)

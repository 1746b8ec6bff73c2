"""Invariants of the model's parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fomm_cli.config.reading import load
from fomm_cli.model.blocks import AntiAliasDownsample, UpBlock
from fomm_cli.model.first_order.dense import candidates
from fomm_cli.model.first_order.discriminator import Discriminator
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import (
    SmoothTransform,
    coordinate_grid,
    gaussians,
    heatmap_mean,
    inverse_2x2,
    product_2x2,
    warp,
    warp_candidates,
)
from fomm_cli.model.pose import mapped
from tests.golden import golden_model

PUBLISHED = ["bair", "fashion", "mgif", "nemo", "taichi", "taichi-adv", "vox", "vox-adv"]


@pytest.mark.parametrize("preset", PUBLISHED)
def test_presets_have_the_published_layout(golden: Path, preset: str) -> None:
    layouts = json.loads((golden / "official_layout.json").read_text())
    layout = layouts["layouts"][layouts["configs"][f"{preset}-256"]]
    config = load(f"{preset}-256").model
    with torch.device("meta"):
        model, discriminator = FirstOrderModel(config), Discriminator(config)
    ours = {key: list(value.shape) for key, value in model.state_dict().items()}
    ours |= {f"discriminator.{key}": list(value.shape) for key, value in discriminator.state_dict().items()}
    theirs = {f"keypoint_detector.{key}": shape for key, shape in layout["kp_detector"].items()}
    theirs |= {f"discriminator.{key}": shape for key, shape in layout["discriminator"].items()}
    for key, shape in layout["generator"].items():
        inner = key.removeprefix("dense_motion_network.")
        theirs[f"generator.{key}" if inner == key else f"dense_motion.{inner}"] = shape
    constants = {key for key in theirs if key.endswith("down.weight")}  # the Gaussian kernels, not weights
    assert ours == {key: shape for key, shape in theirs.items() if key not in constants}


@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
def test_identity_grid_returns_the_image(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    grid = coordinate_grid(*size, like=image).expand(2, -1, -1, -1)
    torch.testing.assert_close(warp(image, grid, align_corners=True), image)
    assert (warp(image, grid, align_corners=False) - image).abs().max() > 0.01


def test_grid_has_corner_centres_x_first() -> None:
    grid = coordinate_grid(3, 5, like=torch.zeros(1))
    assert grid[0, 0].tolist() == [-1, -1]
    assert grid[0, 4].tolist() == [1, -1]
    assert grid[2, 0].tolist() == [-1, 1]
    assert grid[1, 2].tolist() == [0, 0]


def test_a_perfect_peak_is_found_where_it_was_planted() -> None:
    grid = coordinate_grid(9, 11, like=torch.zeros(1))
    heatmap = torch.zeros(1, 2, 9, 11)
    heatmap[0, 0, 4, 2] = heatmap[0, 1, 8, 10] = 1
    found = heatmap_mean(heatmap, grid)
    torch.testing.assert_close(found[0], torch.stack((grid[4, 2], grid[8, 10])))


def test_gaussians_equal_their_definition() -> None:
    points = torch.rand(2, 3, 2) * 2 - 1
    grid = coordinate_grid(6, 7, like=points)
    squared = (grid - points[:, :, None, None]).square().sum(-1)
    torch.testing.assert_close(gaussians(points, 6, 7, 0.01), torch.exp(-squared / 0.02))


def test_closed_forms_equal_the_library() -> None:
    matrix = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(inverse_2x2(matrix), torch.linalg.inv(matrix))
    torch.testing.assert_close(product_2x2(matrix, matrix), matrix @ matrix)


def test_analytic_jacobian_of_the_transform_equals_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    like = torch.zeros(1, dtype=torch.float64)
    transform = SmoothTransform.draw(2, 0.05, 0.05, 5, like, generator)
    points = (torch.rand(2, 7, 2, dtype=torch.float64) * 2 - 1).requires_grad_()
    moved = transform.points(points)
    rows = [torch.autograd.grad(moved[..., axis].sum(), points, retain_graph=True)[0] for axis in (0, 1)]
    torch.testing.assert_close(transform.jacobian(points), torch.stack(rows, dim=-2))


def test_equal_poses_give_the_identity_everywhere() -> None:
    kp = Keypoints(torch.rand(2, 4, 2), torch.eye(2) + 0.1 * torch.rand(2, 4, 2, 2))
    grid = coordinate_grid(5, 6, like=kp.value)
    flows = candidates(kp, kp, grid)
    assert flows.shape == (2, 5, 5, 6, 2)
    torch.testing.assert_close(flows, grid.expand_as(flows), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_an_equivariant_detector_has_no_equivariance_error() -> None:
    """Points and Jacobians that move exactly with an affine T satisfy p_d = T(p_t) and J_d = T' J_t."""
    transform = SmoothTransform(torch.tensor([[[1.1, 0.1, 0.2], [-0.2, 0.9, 0.1]]]), None)
    point, frame = torch.rand(1, 3, 2), torch.eye(2) + 0.1 * torch.rand(1, 3, 2, 2)
    moved = Keypoints(transform.points(point), product_2x2(transform.jacobian(point), frame))
    flows = candidates(moved, Keypoints(point, frame), coordinate_grid(4, 4, like=point))
    expected = transform.points(coordinate_grid(4, 4, like=point).reshape(1, -1, 2)).reshape(1, 4, 4, 2)
    torch.testing.assert_close(flows[:, 1], expected)


def test_shared_source_equals_copies_of_it() -> None:
    source, flows = torch.rand(1, 3, 6, 6), torch.rand(4, 5, 6, 6, 2) * 2 - 1
    shared = warp_candidates(source, flows, True)
    torch.testing.assert_close(shared, warp_candidates(source.expand(4, -1, -1, -1).contiguous(), flows, True))


@torch.inference_mode()
def test_one_encoding_serves_many_frames_and_equals_one_by_one(golden: Path) -> None:
    model = golden_model(golden, "first_order")
    source, driving = torch.rand(1, 3, 64, 64), torch.rand(3, 3, 64, 64)
    encoded, kp_source, kp_driving = model.encode(source), model.detect(source), model.detect(driving)
    together = model.render(encoded, kp_source, kp_driving).prediction
    for i in range(3):
        alone = model.render(encoded, kp_source, mapped(kp_driving, lambda t, i=i: t[i : i + 1])).prediction
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("scale", "width"), [(0.5, 5), (0.25, 13), (0.125, 29)])
def test_strided_antialiasing_equals_filtering_then_picking(scale: float, width: int) -> None:
    down = AntiAliasDownsample(3, scale)
    assert down.kernel.shape[-1] == width
    assert down.kernel[0].sum() == pytest.approx(1)
    image = torch.rand(1, 3, 32, 40)
    full = torch.nn.functional.conv2d(image, down.kernel, padding=width // 2, groups=3)
    step = round(1 / scale)
    torch.testing.assert_close(down(image), full[:, :, ::step, ::step])


@torch.inference_mode()
def test_blend_mixes_the_warped_source_and_the_decoded_picture(golden: Path) -> None:
    from tests.golden import golden_config, golden_state

    config = golden_config(golden, "first_order")
    plain = golden_model(golden, "first_order")
    blending = config.model.model_copy(
        update={"generator": config.model.generator.model_copy(update={"skip": "blend"})}
    )
    model = FirstOrderModel(blending, (64, 64)).eval()
    model.load_state_dict(golden_state(golden, "first_order")[0])
    source, driving = torch.rand(1, 3, 64, 64), torch.rand(2, 3, 64, 64)
    args = (model.encode(source), model.detect(source), model.detect(driving))
    ours, decoded = model.render(*args), plain.render(*args)
    assert ours.occlusion is not None
    assert decoded.deformed is not None
    keep = torch.nn.functional.interpolate(ours.occlusion, size=(64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours.prediction, keep * decoded.deformed + (1 - keep) * decoded.prediction)


def test_a_keypoint_discriminator_demands_keypoints() -> None:
    discriminator = Discriminator(load("vox-adv-256", ["model.discriminator.block_expansion=4"]).model)
    with pytest.raises(ValueError, match="keypoints"):
        discriminator(torch.rand(1, 3, 64, 64))


def test_the_short_way_of_doubling_is_doubling() -> None:
    """While it is trained, an up block skips the repeated pixels: same picture, same gradients, any size and layout."""
    block = UpBlock(5, 7).double()
    block.norm = torch.nn.Identity()
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 5, 4, 3, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
        parts = [x, block.conv.weight, block.conv.bias]
        short, plain = block.train()(x), block.eval()(x)
        torch.testing.assert_close(short, plain)
        weight = torch.randn_like(plain)
        found, expected = (torch.autograd.grad((way * weight).sum(), parts) for way in (short, plain))
        torch.testing.assert_close(found, expected)

"""Each loss term against its formula, written out."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from fomm_cli.model import losses as shared
from fomm_cli.model.first_order import losses
from fomm_cli.model.first_order.config import FirstOrderLoss
from fomm_cli.model.geometry import SmoothTransform, coordinate_grid


def features(image: Tensor) -> list[Tensor]:
    return [image * 2, image.square()]


def test_every_weight_has_a_function_of_its_name() -> None:
    for name in FirstOrderLoss.model_fields:
        assert inspect.isfunction(getattr(shared if hasattr(shared, name) else losses, name)), name


def test_perceptual_sums_weighted_means_over_slices_and_scales() -> None:
    made = [torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)]
    true = [torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)]
    expected = sum(
        3 * (2 * a - 2 * b).abs().mean() + 5 * (a**2 - b**2).abs().mean() for a, b in zip(made, true, strict=True)
    )
    torch.testing.assert_close(shared.perceptual(features, made, true, (3, 5)), expected)


def test_perceptual_targets_take_no_gradient() -> None:
    made, true = torch.rand(1, 3, 4, 4, requires_grad=True), torch.rand(1, 3, 4, 4, requires_grad=True)
    shared.perceptual(features, [made], [true], (1, 1)).backward()
    assert made.grad is not None
    assert true.grad is None


def test_least_squares_terms() -> None:
    made, true = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    torch.testing.assert_close(losses.generator_gan([made, made]), 2 * (1 - made).square().mean())
    expected = ((1 - true) ** 2 + made**2).mean()
    torch.testing.assert_close(losses.discriminator_gan([made], [true]), expected)


def test_feature_matching_counts_weighted_blocks_only() -> None:
    made, true = [torch.rand(2, 4) for _ in range(3)], [torch.rand(2, 4) for _ in range(3)]
    expected = 10 * (made[0] - true[0]).abs().mean() + 2 * (made[2] - true[2]).abs().mean()
    torch.testing.assert_close(losses.feature_matching([made], [true], (10, 0, 2)), expected)


def test_equivariance_is_zero_where_the_keypoints_follow_the_picture() -> None:
    transform = SmoothTransform.draw(
        2, 0.05, 0.005, 5, torch.zeros(1, dtype=torch.float64), torch.Generator().manual_seed(0)
    )
    points = torch.rand(2, 6, 2, dtype=torch.float64) * 2 - 1
    assert shared.equivariance_value(transform.points(points), transform.points(points)).item() == 0
    slope = transform.jacobian(points)
    assert losses.equivariance_jacobian(torch.linalg.inv(slope), slope).item() < 1e-12
    assert losses.equivariance_jacobian(torch.linalg.inv(slope), 1.5 * slope).item() == pytest.approx(0.25)


def test_transform_has_the_slope_that_autograd_finds() -> None:
    transform = SmoothTransform.draw(
        1, 0.05, 0.005, 5, torch.zeros(1, dtype=torch.float64), torch.Generator().manual_seed(1)
    )
    points = torch.rand(1, 5, 2, dtype=torch.float64) * 2 - 1
    numeric = torch.autograd.functional.jacobian(transform.points, points)
    for k in range(5):
        torch.testing.assert_close(transform.jacobian(points)[0, k], numeric[0, k, :, 0, k])


def test_transform_of_shared_points_equals_the_transform_of_copies() -> None:
    transform = SmoothTransform.draw(
        3, 0.05, 0.005, 5, torch.zeros(1, dtype=torch.float64), torch.Generator().manual_seed(2)
    )
    grid = coordinate_grid(4, 6, transform.theta).reshape(1, -1, 2)
    torch.testing.assert_close(transform.points(grid), transform.points(grid.expand(3, -1, -1)))


def test_mean_difference_and_its_gradient_are_those_of_l1_loss() -> None:
    a = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    ours = torch.autograd.grad(shared.mean_difference(a, b), (a, b))
    theirs = torch.autograd.grad(torch.nn.functional.l1_loss(a, b), (a, b))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_mean_difference_of_weighted_pairs_and_its_gradient() -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(3, 2, 4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    pairs = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    expected = ((a - b).abs().mean((1, 2, 3)) * pairs).mean()
    ours = shared.mean_difference(a, b, pairs)
    torch.testing.assert_close(ours, expected)
    for mine, theirs in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(expected, (a, b)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_mean_difference_of_bf16_is_accumulated_in_float32() -> None:
    a = torch.full((300, 300), 1.0, dtype=torch.bfloat16)
    value = shared.mean_difference(a, torch.zeros_like(a))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(1.0, abs=1e-6)  # a bf16 sum would have stopped growing at 256


def test_keypoint_spread() -> None:
    assert shared.keypoint_spread(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]])).item() == pytest.approx(5.0)
    assert shared.keypoint_spread(torch.zeros(2, 4, 2)).item() == 0
    assert shared.keypoint_spread(torch.rand(2, 1, 2)).item() == 0

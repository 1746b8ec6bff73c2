"""Augmentation: the same draw for both frames, colours as the usual library computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fomm_cli.config.schema import AugmentationConfig
from fomm_cli.data import augment as A
from fomm_cli.data.augment import augment

OFF = {"time_flip": False, "horizontal_flip": False}


def noise(height: int = 40, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8)


def alike(height: int = 40, width: int = 40) -> np.ndarray:
    """A pair of one and the same picture."""
    return np.repeat(noise(height, width)[:1], 2, axis=0)


@pytest.mark.parametrize(
    ("mine", "theirs", "factors"),
    [
        (A.brightness, "adjust_brightness", (0.5, 0.9, 1.1, 1.7)),
        (A.contrast, "adjust_contrast", (0.5, 0.9, 1.1, 1.7)),
        (A.saturation, "adjust_saturation", (0.0, 0.5, 0.9, 1.1, 2.0)),
        (A.hue, "adjust_hue", (-0.5, -0.3, -0.1, 0.0, 0.03, 0.1, 0.33, 0.5)),
    ],
)
def test_each_colour_change_equals_torchvision(
    mine: Callable[[np.ndarray, np.float32], None],
    theirs: str,
    factors: tuple[float, ...],
) -> None:
    from torchvision.transforms import functional  # seconds, for those who only collect

    pair = noise()
    pair[:, :4] = pair[:, :4, :, :1]  # greys, whose hue is undefined
    pair[:, 4] = 0
    pair[:, 5] = 255
    for factor in factors:
        planes = np.ascontiguousarray(pair.reshape(2, -1, 3).transpose(2, 0, 1), dtype=np.float32)
        mine(planes, np.float32(factor))
        found = np.rint(planes).transpose(1, 2, 0).reshape(pair.shape)
        wanted = (
            getattr(functional, theirs)(torch.from_numpy(pair).permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1).numpy()
        )
        assert np.abs(found - wanted).max() <= 1, factor


def test_both_frames_get_the_same_draw() -> None:
    config = AugmentationConfig(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.3, resize=(0.7, 1.3), rotation=20)
    for seed in range(20):
        pair = augment(alike(), config, (40, 40), np.random.default_rng(seed))
        assert pair.shape == (2, 40, 40, 3)
        assert pair.dtype == np.uint8
        np.testing.assert_array_equal(pair[0], pair[1])


def test_the_order_and_strength_of_colour_changes_vary() -> None:
    config = AugmentationConfig(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.3, **OFF)
    results = {augment(alike(), config, (40, 40), np.random.default_rng(seed)).tobytes() for seed in range(10)}
    assert len(results) == 10
    again = [augment(noise(), config, (40, 40), np.random.default_rng(1)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize(
    ("off", "shares"),
    [
        ({}, {(0, 0): 0.25, (1, 0): 0.5, (0, 1): 0.25}),
        ({"time_flip": False}, {(0, 0): 0.5, (0, 1): 0.5}),
        ({"horizontal_flip": False}, {(0, 0): 0.5, (1, 0): 0.5}),
    ],
)
def test_a_pair_that_is_swapped_is_not_mirrored(off: dict[str, bool], shares: dict[tuple[int, int], float]) -> None:
    """As published: first swapped or not, and only what was not swapped is mirrored half of the time."""
    pair, counts = noise(8, 8), dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], 0)
    for seed in range(400):
        changed = augment(pair, AugmentationConfig(**off), (8, 8), np.random.default_rng(seed))
        for swap, mirror in counts:
            counts[swap, mirror] += np.array_equal(changed, pair[:: -1 if swap else 1, :, :: -1 if mirror else 1])
    assert sum(counts.values()) == 400
    for kind, count in counts.items():
        assert abs(count / 400 - shares.get(kind, 0)) < (0.1 if kind in shares else 1e-9), kind


def test_nothing_asked_nothing_changed() -> None:
    pair = noise()
    np.testing.assert_array_equal(augment(pair, AugmentationConfig(**OFF), (40, 40), np.random.default_rng(0)), pair)


def test_crops_are_windows_at_random_places() -> None:
    pair, places = noise(12, 14), set()
    config = AugmentationConfig(crop=(8, 8), **OFF)
    for seed in range(200):
        window = augment(pair, config, (8, 8), np.random.default_rng(seed))
        found = [
            (top, left)
            for top in range(5)
            for left in range(7)
            if np.array_equal(pair[:, top : top + 8, left : left + 8], window)
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) == 35


def test_frames_smaller_than_the_crop_are_padded_by_their_edge() -> None:
    pair = np.full((2, 6, 20, 3), 77, dtype=np.uint8)
    pair[:, :, 8:12] = 200
    out = A.random_crop(pair, (16, 16), np.random.default_rng(0))
    assert out.shape == (2, 16, 16, 3)
    assert set(np.unique(out)) == {77, 200}
    np.testing.assert_array_equal(out[:, 0], out[:, 15])


def test_resizing_scales_the_picture_within_its_range() -> None:
    pair = np.zeros((2, 100, 100, 3), dtype=np.uint8)
    pair[:, 40:60, 40:60] = 255
    config = AugmentationConfig(resize=(0.5, 1.5), **OFF)
    sides = []
    for seed in range(50):
        changed = augment(pair, config, (100, 100), np.random.default_rng(seed))
        assert changed.shape == pair.shape
        sides.append(np.sqrt(changed[0, ..., 0].sum() / 255))
    assert min(sides) >= 10 * 0.97
    assert max(sides) <= 30 * 1.03
    assert max(sides) - min(sides) > 15


def test_a_turn_of_90_degrees_is_exact_and_shows_no_black() -> None:
    pair = noise(33, 33)
    np.testing.assert_array_equal(A.rotate(pair, 90)[0], np.rot90(pair[0]))
    white = np.full((2, 30, 50, 3), 255, dtype=np.uint8)
    assert A.rotate(white, 33).min() == 255
    assert A.rotate(white, 33).shape == white.shape

"""The relative spaces of families other than first order."""

from __future__ import annotations

import numpy as np

from fomm_cli.model.live_portrait.pose import HeadPose, keypoints, transfer
from fomm_cli.model.live_portrait.space import HeadSpace, rotation_of, rotation_vector
from fomm_cli.model.pose import pick
from fomm_cli.model.regions.pose import Regions
from fomm_cli.model.regions.space import RegionSpace


def heads(count: int, seed: int = 0) -> HeadPose:
    """One head that turns, nods, comes near and talks; float32 as detectors give it."""
    r = np.random.default_rng(seed)
    t = np.arange(count)[:, None] / 25
    kp = np.repeat(r.uniform(-0.3, 0.3, (1, 21, 3)), count, axis=0)
    turn = 0.4 * np.sin(t * (1.0, 1.7, 0.6))
    rotation = rotation_of(turn) @ rotation_of(r.normal(0, 0.3, (1, 3)))
    exp = 0.02 * np.sin(3 * t)[..., None] * r.normal(0, 1, (1, 21, 3))
    parts = (kp, rotation, exp, 0.1 * np.sin(t * (0.7, 1.1, 0.0)), 1.4 * np.exp(0.1 * np.sin(t)))
    return HeadPose(*(part.astype(np.float32) for part in (keypoints(*parts), *parts)))


def one(poses: HeadPose, row: int) -> HeadPose:
    return pick(poses, slice(row, row + 1))


def test_rotations_there_and_back() -> None:
    vectors = np.random.default_rng(0).normal(0, 0.6, (200, 3))
    vectors[0] = 0
    np.testing.assert_allclose(rotation_vector(rotation_of(vectors)), vectors, atol=1e-6)
    product = rotation_of(vectors) @ np.swapaxes(rotation_of(vectors), 1, 2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)


def test_heads_there_and_back_and_in_parts() -> None:
    moved = heads(40)
    space = HeadSpace(one(moved, 7))
    channels = space.channels(moved)
    assert np.abs(channels[7]).max() < 1e-6
    for ours, theirs in zip(space.poses(channels), moved, strict=True):
        if theirs is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    parted = space.split(channels)
    np.testing.assert_allclose(space.join(parted.head, parted.rest), channels)
    assert parted.explained > 0.8
    still = space.poses(space.join(0 * parted.head, parted.rest))
    assert np.abs(still.rotation - space.anchor.rotation).max() < 1e-6
    np.testing.assert_allclose(still.exp, moved.exp, atol=1e-6)


def test_the_mirror_of_a_head_is_the_head_in_the_mirror() -> None:
    """Of a head with two like sides, at rest in its anchor: left points move as the right ones do in the picture."""
    partner, across = [1, 0, 3, 2, *range(4, 21)], np.array([-1, 1, 1])
    seen = heads(30)
    kp = seen.kp.copy()
    kp[:, :4] = (kp + kp[:, partner] * across)[:, :4] / 2
    kp[:, 4:, 0] = 0  # these stand in the middle
    exp = seen.exp - seen.exp[:1]
    rotation = rotation_of(rotation_vector(seen.rotation @ np.swapaxes(seen.rotation[:1], 1, 2)))
    parts = (kp, rotation, exp, seen.t - seen.t[:1], seen.scale)
    moved = HeadPose(keypoints(*parts), *parts)
    space = HeadSpace(one(moved, 0))
    channels = space.channels(moved)
    mirrored = space.mirrored(channels, partner)
    np.testing.assert_allclose(space.poses(mirrored).value, moved.value[:, partner] * across, atol=1e-6)
    assert np.abs(mirrored - channels).max() > 0.1
    np.testing.assert_allclose(space.mirrored(mirrored, partner), channels, atol=1e-12)


def test_openness_goes_with_the_expression() -> None:
    """Scaled, mirrored and averaged with it; it is no movement of a head, and nobody's motion does not tell of it."""
    wide = np.random.default_rng(0).uniform(0.1, 0.4, (30, 3)).astype(np.float32)
    moved = heads(30)._replace(openness=wide)
    space = HeadSpace(one(moved, 3))
    channels = space.channels(moved)
    np.testing.assert_allclose(space.poses(channels).openness, wide, atol=1e-6)
    parted = space.split(channels)
    half = space.poses(space.join(parted.head, parted.rest / 2)).openness
    np.testing.assert_allclose(half, (wide + wide[3]) / 2, atol=1e-6)
    np.testing.assert_allclose(space.poses(space.join(parted.head * 0, parted.rest)).openness, wide, atol=1e-6)
    shut = space.poses(space.join(parted.head, parted.rest * 3)).openness
    assert shut.min() == 0
    mirrored = space.poses(space.mirrored(channels, list(range(21)))).openness
    np.testing.assert_allclose(mirrored - wide[3], (wide - wide[3])[:, [1, 0, 2]], atol=1e-6)
    np.testing.assert_array_equal(space.channels(moved._replace(openness=None)), channels[:, :-3])
    assert HeadSpace(one(heads(1), 0)).poses(channels).openness is None
    assert HeadSpace(space.neutral).poses(channels).openness is None


def test_the_space_of_a_source_is_relative_animation() -> None:
    """Channels of the driving in the source's space are what the published rule gives; so are nobody's."""
    moved, source = heads(20), one(heads(1, seed=3), 0)
    expected = transfer(source, moved, one(moved, 0))
    channels = HeadSpace(one(moved, 0)).channels(moved)
    np.testing.assert_allclose(HeadSpace(source).poses(channels).value, expected.value, atol=1e-5)
    neutral = HeadSpace(one(moved, 0)).neutral
    bare = HeadSpace(neutral).poses(channels)
    np.testing.assert_allclose(transfer(source, bare, neutral).value, expected.value, atol=1e-5)
    np.testing.assert_allclose(bare.kp, 0)


def test_regions_do_not_mind_which_way_their_axes_point() -> None:
    r = np.random.default_rng(0)
    t = np.arange(30)[:, None, None] / 10
    places = (r.uniform(-0.5, 0.5, (1, 6, 2)) + 0.1 * np.sin(t)).astype(np.float32)
    axes = np.eye(2) * (0.3, 0.2) + r.normal(0, 0.02, (1, 6, 2, 2)) + 0.02 * np.sin(t)[..., None]
    axes = axes.astype(np.float32)
    straight = Regions(places, axes, axes @ np.swapaxes(axes, -1, -2))
    flipped = axes * r.choice([-1, 1], (30, 6, 1, 2)).astype(np.float32)
    flipped[0] = axes[0]
    seen = Regions(places, flipped, straight.covariance)
    space = RegionSpace(Regions(*(part[:1] for part in seen)))
    np.testing.assert_allclose(space.channels(seen), space.channels(straight), atol=1e-6)
    back = space.poses(space.channels(seen))
    np.testing.assert_allclose(back.covariance, straight.covariance, atol=1e-6)
    assert isinstance(back, Regions)
    assert isinstance(space.neutral, Regions)

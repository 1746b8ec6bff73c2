"""Motion in its relative space: controls, smoothing, loops."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from fomm_cli.errors import FommError
from fomm_cli.model.first_order.family import FirstOrder
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.relative import PointSpace, Reach, exponential, logarithm
from fomm_cli.motion import loops
from fomm_cli.motion.controls import Controls, steer
from fomm_cli.motion.motion import Motion
from fomm_cli.motion.smooth import OneEuro, smoothed
from tests.motions import motion, similarities


def points(moved: Motion) -> np.ndarray:
    return np.asarray(moved.poses[0], dtype=np.float64)


def jitter(values: np.ndarray) -> float:
    """Root mean square of second differences."""
    return float(np.sqrt(np.square(np.diff(values, 2, axis=0)).mean()))


# --------------------------------------------------------------------------------------------------- relative space


def test_the_logarithm_is_undone_by_the_exponential() -> None:
    logs = np.random.default_rng(0).normal(0, 0.8, (500, 2, 2))
    np.testing.assert_allclose(logarithm(exponential(logs)), logs, atol=1e-9)
    for matrix in (np.eye(2), [[1, 1], [0, 1]], [[2, 0], [0, 0.5]], [[0, -1], [1, 0]]):
        np.testing.assert_allclose(exponential(logarithm(np.array(matrix, dtype=float))), matrix, atol=1e-9)


@pytest.mark.filterwarnings("error")
def test_matrices_without_a_logarithm_get_a_finite_one() -> None:
    for matrix in ([[0, 0], [0, 0]], [[-1, 0], [0, -2]], [[1, 0], [0, -1]], [[1e-9, 0], [0, 1]]):
        assert np.isfinite(logarithm(np.array(matrix, dtype=float))).all()


@pytest.mark.parametrize("frames", [True, False])
def test_channels_there_and_back(frames: bool) -> None:
    moved = motion(frames=frames, noise=0.02)
    space = moved.space(7)
    channels = space.channels(moved.poses)
    assert np.abs(channels[7]).max() < 1e-6
    back = space.poses(channels)
    for ours, theirs in zip(back, moved.poses, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
    parted = space.split(channels)
    np.testing.assert_allclose(space.join(parted.head, parted.rest), channels, atol=1e-9)


def test_a_scaled_frame_never_folds() -> None:
    moved = motion(sway=0.5, noise=0.1)
    space = moved.space(0)
    for strength in (1.5, 2.0, 3.0):
        log = space.channels(moved.poses)[:, 18:].reshape(-1, 2, 2) * strength
        assert np.linalg.det(exponential(log)).min() > 0
        channels = space.limited(space.channels(moved.poses) * strength, Reach())
        stretch = np.linalg.svd(exponential(channels[:, 18:].reshape(-1, 2, 2)), compute_uv=False)
        assert stretch.prod(axis=-1).min() >= 0.15 - 1e-6
        assert (stretch[:, 0] / stretch[:, 1]).max() <= 6 + 1e-3


def test_movements_stay_within_the_reach_of_the_training() -> None:
    moved = motion(sway=0.5, noise=0.05)
    space = moved.space(0)
    channels = space.channels(moved.poses)
    reach = space.reach(channels)
    sizes = np.linalg.norm(channels[:, :18].reshape(-1, 2), axis=1)
    assert (sizes > reach.shift).mean() <= 0.002
    assert reach.shift > np.quantile(sizes, 0.99)
    np.testing.assert_array_equal(space.limited(channels * 0.8, reach)[:, :18], channels[:, :18] * 0.8)
    short = replace(moved, reach=Reach(reach.shift / 4, reach.frame))
    kept, cut = (steer(each, Controls(expression=1.001)) for each in (replace(moved, reach=reach), short))
    assert cut.clamped > kept.clamped
    farthest = np.abs(cut.motion.poses.value - moved.poses.value[:1]).max()
    assert farthest <= 1.25 * reach.shift / 4 + 1e-6


def test_the_space_of_another_anchor_moves_it_alike() -> None:
    """What relative animation does, and through the neutral pose without any head in between."""
    moved, source = motion(seed=1), motion(seed=2).at(0)
    space = moved.space(0)
    channels = space.channels(moved.poses)
    ours = PointSpace(source).poses(channels)
    np.testing.assert_allclose(ours.value, source.value + moved.poses.value - moved.poses.value[:1], atol=1e-6)
    neutral = PointSpace(space.neutral)
    bare = neutral.poses(channels)
    np.testing.assert_allclose(neutral.channels(bare), channels, atol=1e-6)
    np.testing.assert_allclose(bare.value[0], 0, atol=1e-6)


# --------------------------------------------------------------------------------------------------------- controls


def test_without_controls_not_a_bit_changes() -> None:
    moved = motion(noise=0.01)
    steered = steer(moved, Controls(), 3)
    assert steered.motion is moved
    np.testing.assert_array_equal(steered.anchor.value, moved.poses.value[3:4])


def test_a_still_head_and_a_head_alone() -> None:
    turning = motion(mouth=0.0)
    still = steer(turning, Controls(head=0)).motion
    reach = np.abs(points(turning) - points(turning)[:1]).max()
    assert np.abs(points(still) - points(still)[:1]).max() < 0.05 * reach
    np.testing.assert_allclose(still.poses.jacobian, still.poses.jacobian[:1].repeat(len(still), 0), atol=2e-3)
    both = motion(mouth=0.1)
    alone = steer(both, Controls(expression=0)).motion
    np.testing.assert_allclose(points(alone)[:, 3:], points(turning)[:, 3:], atol=0.02)
    talking = steer(both, Controls(head=0)).motion
    swing = np.ptp(points(talking), axis=0)
    assert swing[:3, 1].min() > 0.15
    assert swing[3:].max() < 0.03


def test_locks_hold_what_they_name() -> None:
    turning = motion(mouth=0.0)
    k, b = similarities(len(turning))
    for lock, size, turn, place in (("size", 0, 1, 1), ("turn", 1, 0, 1), ("place", 1, 1, 0), ("place,turn", 1, 0, 0)):
        held = steer(turning, Controls(lock=lock)).motion
        head = held.space(0).split(held.space(0).channels(held.poses)).head
        np.testing.assert_allclose(head[:, 0], size * np.log(np.abs(k)), atol=2e-3)
        np.testing.assert_allclose(head[:, 1], turn * np.angle(k), atol=2e-3)
        np.testing.assert_allclose(head[:, 2] + 1j * head[:, 3], place * b, atol=2e-3)
    np.testing.assert_allclose(points(steer(turning, Controls(lock="head")).motion).std(axis=0), 0, atol=1e-3)


def test_scale_there_and_back() -> None:
    moved = motion()
    larger = steer(moved, Controls(motion_scale=2, clamp="off")).motion
    np.testing.assert_allclose(
        points(larger)[5] - points(larger)[0], 2 * (points(moved)[5] - points(moved)[0]), atol=1e-6
    )
    back = steer(larger, Controls(motion_scale=0.5, clamp="off")).motion
    for ours, theirs in zip(back.poses, moved.poses, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    nothing = steer(moved, Controls(motion_scale=0)).motion
    np.testing.assert_allclose(points(nothing), points(moved)[:1].repeat(len(moved), 0), atol=1e-6)


def test_clamped_frames_are_counted_and_said() -> None:
    wild = motion(sway=0.6)
    steered = steer(wild, Controls(motion_scale=3))
    assert steered.clamped > 3
    assert any("kept from tearing" in said for said in steered.warnings)
    assert any("1.5" in said for said in steered.warnings)
    assert np.abs(points(steered.motion) - points(wild)[:1]).max() <= 0.6 + 1e-6
    assert steer(wild, Controls(motion_scale=3, clamp="off")).clamped == 0
    assert steer(wild, Controls(smooth=0.2)).clamped == 0, "nothing is kept from what the clip itself does"


@pytest.mark.parametrize(("count", "frames"), [(1, True), (2, False), (2, True), (9, False)])
def test_few_points_and_points_alone(count: int, frames: bool) -> None:
    moved = motion(points=count, frames=frames)
    everything = Controls(1.2, 0.5, 1.3, "size", 0.4, "auto", "pingpong")
    steered = steer(moved, everything).motion
    assert all(np.isfinite(part).all() for part in steered.poses if part is not None)
    assert len(steered) == 2 * len(moved) - 2
    one = moved[:1]
    assert len(steer(one, replace(everything, loop="none")).motion) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"motion_scale": 4}, "motion-scale 4 is out of range"),
        ({"smooth": -0.1}, "smooth"),
        ({"head": float("nan")}, "head nan"),
        ({"lock": "sise"}, "no lock 'sise'"),
        ({"loop": "pingpang"}, "no loop"),
        ({"clamp": "on"}, "no clamp"),
    ],
)
def test_controls_out_of_range_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(FommError, match=said):
        Controls(**given)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- smoothing


def test_half_strength_halves_jitter_and_spares_the_motion() -> None:
    """The bounds of the specification, in pixels of 128: jitter at least halved, the clean motion within 0.15."""
    clean, noisy = motion(125), motion(125, noise=0.005)
    steadied = steer(noisy, Controls(smooth=0.5)).motion
    assert jitter(points(steadied)) < 0.5 * jitter(points(noisy))
    kept = steer(clean, Controls(smooth=0.5)).motion
    assert np.sqrt(np.square(points(kept) - points(clean)).mean()) * 64 < 0.15
    more = [jitter(points(steer(noisy, Controls(smooth=s)).motion)) for s in (0.25, 0.5, 0.75, 1.0)]
    assert more == sorted(more, reverse=True)


def test_ends_are_unbiased_and_times_may_be_uneven() -> None:
    seconds = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.09, 200))
    line = np.stack([0.3 * seconds, 1 - 0.2 * seconds], axis=1)
    np.testing.assert_allclose(smoothed(line, seconds, 0.9), line, atol=2e-3)
    assert smoothed(line, seconds, 0) is line


def test_nothing_is_averaged_over_a_cut() -> None:
    first, second = motion(30, seed=1), motion(30, seed=5)
    poses = Keypoints(*(np.concatenate(pair) for pair in zip(first.poses, second.poses, strict=True)))  # type: ignore[arg-type]
    both = Motion(poses, tuple(Fraction(n, 25) for n in range(60)), Fraction(25), (64, 64))
    assert both.steps()[29] > 0.5
    steadied = steer(both, Controls(smooth=0.8), 0).motion
    assert np.abs(points(steadied)[[29, 30]] - points(both)[[29, 30]]).max() < 0.03


def test_the_live_filter_lags_less_than_two_frames() -> None:
    """After a step of 0.3 at 25 frames a second half of it is there in less than 80 ms; at rest noise is halved."""
    live = OneEuro(0.5)
    out = np.array([live(np.array([0.0 if n < 10 else 0.3]), n / 25)[0] for n in range(30)])
    assert (np.flatnonzero(out > 0.15)[0] - 10) / 25 < 0.08
    assert out[-1] == pytest.approx(0.3, abs=0.01)
    noise = np.random.default_rng(0).normal(0, 0.005, 200)
    live = OneEuro(0.5)
    calm = np.array([live(np.array([value]), n / 25)[0] for n, value in enumerate(noise)])
    assert jitter(calm) < 0.5 * jitter(noise)


# ------------------------------------------------------------------------------------------------------------ loops


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_loop_closes(seed: int) -> None:
    moved = motion(90, noise=0.002, seed=seed)
    looped, begin, end, back = loops.cut(moved)
    assert looped.times[0] == 0
    assert looped.duration == end - begin >= 1
    assert not back
    assert len(looped) < len(moved)
    assert loops.jump(looped) <= 1.5


def test_a_loop_is_not_cut_in_haste() -> None:
    """A mouth that snaps open and shut, ever wider: half open it is most alike, but there it moves fastest."""
    time = np.arange(90)
    snap = (0.2 + time / 900) * np.tanh(2 * np.sin(2 * np.pi * time / 30 + 1))
    value = motion(1).poses.value + np.where(np.arange(9) < 3, snap[:, None], 0)[..., None].astype(np.float32)
    moved = motion(90, frames=False)
    moved = replace(moved, poses=moved.poses._replace(value=value))
    assert np.max(moved.steps()) > 8 * np.median(moved.steps())
    assert loops.jump(loops.cut(moved).motion) <= 1.5


def test_pingpong_turns_round_without_a_jump() -> None:
    moved = motion(40)
    times = tuple(Fraction(n * n + n, 1000) for n in range(40))
    back, begin, end, turned = loops.pingpong(replace(moved, times=times))
    assert len(back) == 78
    assert turned
    assert back.duration == 2 * (end - begin) == 2 * (times[-1] - times[0])
    np.testing.assert_array_equal(back.poses.value[:40], moved.poses.value)
    np.testing.assert_array_equal(back.poses.value[40:], moved.poses.value[38:0:-1])
    assert all(a < b for a, b in zip(back.times, back.times[1:], strict=False))
    assert back.times[40] - back.times[39] == times[39] - times[38]
    with pytest.raises(FommError, match="at least 4 frames"):
        loops.cut(moved[:3])


# ------------------------------------------------------------------------------------------------------------ motion


def test_slices_count_from_their_first_frame() -> None:
    moved = replace(motion(20), anchor=7)
    part = moved[5:10]
    assert (len(part), part.times[0], part.anchor) == (5, 0, 2)
    np.testing.assert_array_equal(part.poses.value, moved.poses.value[5:10])
    assert moved[10:].anchor is None
    with pytest.raises(FommError, match="No frame"):
        moved[30:]


def test_the_anchor_by_name() -> None:
    moved = motion(20)
    source = moved.at(11)
    assert moved.anchored(source, "auto").index == 11
    assert moved.anchored(source, "first").index == 0
    assert moved.anchored(source, 3).distance == pytest.approx(FirstOrder().distance(source, moved.at(3))[0])
    with pytest.raises(FommError, match="no frame 20"):
        moved.anchored(source, 20)

"""Keypoint transfer, the anchor, the threads and the animator, mostly without any network."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from fomm_cli.animate.animator import Animator
from fomm_cli.animate.stream import batched, threaded
from fomm_cli.errors import FommError
from fomm_cli.model.first_order.family import FirstOrder
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.pose import hull_area, inverse, mapped
from fomm_cli.motion.motion import Motion
from tests.engines import GreyEngine, pose, tiny_model

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]


def random_pose(batch: int, seed: int, points: int = 5) -> Keypoints:
    r = np.random.default_rng(seed)
    frames = np.eye(2) + r.normal(0, 0.2, (batch, points, 2, 2))
    return pose(r.uniform(-0.8, 0.8, (batch, points, 2)), frames)


def moving(poses: Keypoints) -> Motion:
    times = tuple(Fraction(row, 25) for row in range(len(poses.value)))
    return Motion(poses, times, Fraction(25), (32, 32))


def grey(*levels: int, size: int = 32) -> list[np.ndarray]:
    return [np.full((size, size, 3), level, dtype=np.uint8) for level in levels]


# ----------------------------------------------------------------------------------------------------------- transfer


def test_absolute_takes_the_driving_keypoints() -> None:
    driving = random_pose(3, 1)
    assert FirstOrder().transfer(random_pose(1, 0), driving, None, "absolute") is driving


def test_relative_adds_the_change() -> None:
    source, driving, initial = random_pose(1, 0), random_pose(3, 1), random_pose(1, 2)
    moved = FirstOrder().transfer(source, driving, initial, "relative", adapt_scale=False)
    assert isinstance(moved, Keypoints)
    np.testing.assert_allclose(moved.value, source.value + driving.value - initial.value, atol=1e-6)
    for b, k in itertools.product(range(3), range(5)):
        expected = driving.jacobian[b, k] @ np.linalg.inv(initial.jacobian[0, k]) @ source.jacobian[0, k]
        np.testing.assert_allclose(moved.jacobian[b, k], expected, atol=1e-5)


def test_the_anchor_itself_gives_the_source_pose() -> None:
    source, initial = random_pose(1, 0), random_pose(1, 2)
    moved = FirstOrder().transfer(source, initial, initial)
    np.testing.assert_allclose(moved.value, source.value, atol=1e-6)
    np.testing.assert_allclose(moved.jacobian, source.jacobian, atol=1e-5)


def test_adapted_scale_is_the_ratio_of_sizes() -> None:
    small = pose(np.array([SQUARE]) * 0.5)
    large = pose(np.array([SQUARE]) * 2)
    shifted = pose(large.value + 0.4)
    moved = FirstOrder().transfer(small, shifted, large, "relative", adapt_scale=True)
    np.testing.assert_allclose(moved.value, small.value + 0.25 * 0.4, atol=1e-6)
    assert moved.jacobian is None


@pytest.mark.parametrize(
    "points", [[[0, 0]] * 4, [[0, 0], [1, 1], [2, 2], [3, 3]], [[0.1, 0], [0.1, 1], [0.1, 2], [0.1, 0.5]]]
)
def test_degenerate_hulls_have_scale_one(points: list[list[float]]) -> None:
    flat, square = pose([points]), pose([SQUARE])
    for source, initial in ((flat, square), (square, flat), (flat, flat)):
        moved = FirstOrder().transfer(source, pose(initial.value + 0.1), initial)
        np.testing.assert_allclose(moved.value, source.value + 0.1, atol=1e-6)


def test_two_points_and_singular_frames_stay_finite() -> None:
    initial = pose([[[0, 0], [1, 1]]], np.zeros((1, 2, 2, 2)))
    moved = FirstOrder().transfer(initial, initial, initial)
    assert np.isfinite(moved.value).all()
    assert np.isfinite(moved.jacobian).all()


def test_hull_area() -> None:
    assert hull_area(np.array(SQUARE)) == 1
    assert hull_area(np.array([*SQUARE, [0.5, 0.5], [0.5, 0], [0, 0]])) == 1
    assert hull_area(np.array([[0, 0], [4, 0], [0, 3]])) == 6
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    shuffled = np.random.default_rng(0).permutation(np.concatenate([ring, ring * 0.3]))
    assert hull_area(shuffled) == pytest.approx(3.0)
    assert hull_area(np.array([[0, 0], [np.nan, 1], [1, 0]])) == 0


def test_inverse_is_the_inverse() -> None:
    frames = np.random.default_rng(0).normal(size=(7, 3, 2, 2))
    np.testing.assert_allclose(inverse(frames) @ frames, np.broadcast_to(np.eye(2), frames.shape), atol=1e-9)


def test_tensors_give_tensors_and_the_same_numbers() -> None:
    import torch

    arrays = [random_pose(1, 0), random_pose(3, 1), random_pose(1, 2)]
    tensors = [mapped(each, torch.from_numpy) for each in arrays]
    ours, theirs = FirstOrder().transfer(*arrays), FirstOrder().transfer(*tensors)
    assert isinstance(theirs.value, torch.Tensor)
    np.testing.assert_array_equal(ours.value, theirs.value.numpy())
    np.testing.assert_array_equal(ours.jacobian, theirs.jacobian.numpy())


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(FommError, match="no mode") as caught:
        FirstOrder().transfer(random_pose(1, 0), random_pose(1, 1), None, "relativ")
    assert "'relative'" in caught.value.hint


# ------------------------------------------------------------------------------------------------------------- anchor


def test_the_planted_pose_is_found_wherever_and_however_large_it_is() -> None:
    source = random_pose(1, 0)
    driving = random_pose(9, 5)
    driving.value[6] = source.value[0] * 0.4 + (0.3, -0.2)
    driving.jacobian[6] = source.jacobian[0] * 0.4
    found = moving(driving).nearest(source)
    assert found.index == 6
    assert found.distance == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(found.pose.value, driving.value[6:7])


def test_of_equal_poses_the_first_is_taken() -> None:
    source = random_pose(1, 0)
    driving = pose(np.repeat(source.value, 4, axis=0), np.repeat(source.jacobian, 4, axis=0))
    assert moving(driving).nearest(source).index == 0


def test_frames_count_and_points_without_frames_do() -> None:
    source = random_pose(1, 0)
    turned = pose(source.value, source.jacobian[..., ::-1])
    assert FirstOrder().distance(source, turned)[0] > 0.2
    assert FirstOrder().distance(pose(source.value), pose(turned.value))[0] == 0
    assert np.isfinite(FirstOrder().distance(pose([[[0, 0], [0, 0]]]), pose([[[0, 0], [0, 0]]]))).all()


# ------------------------------------------------------------------------------------------------------------ threads


def test_threads_keep_order_and_count() -> None:
    once = threaded((n for n in range(500)), 3)
    assert list(threaded((n * 2 for n in once), 5)) == [n * 2 for n in range(500)]
    assert list(threaded([], 1)) == []


def test_an_error_in_any_stage_comes_out_in_its_place() -> None:
    def stage(items: Iterator[int], bad: int) -> Iterator[int]:
        with contextlib.closing(items):  # type: ignore[type-var]
            for item in items:
                if item == bad:
                    raise OSError("stage")
                yield item

    for bad_stage in range(3):
        pipe: Iterator[int] = (n for n in range(10))
        for number in range(3):
            pipe = threaded(stage(pipe, 6 if number == bad_stage else -1), 2)
        seen = []
        with pytest.raises(OSError, match="stage"):
            seen.extend(pipe)
        seen_again = list(pipe)
        assert seen_again == []
    assert not [t for t in threading.enumerate() if t.name == "fomm-stage"]


def test_a_reader_that_leaves_stops_and_closes_every_stage() -> None:
    closed: list[str] = []

    def endless(name: str) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(name)

    def on(items: Iterator[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            items.close()  # type: ignore[attr-defined]
            closed.append("on")

    pipe = threaded(on(threaded(endless("source"), 2)), 2)
    assert [next(pipe) for _ in range(5)] == [0, 1, 2, 3, 4]
    pipe.close()
    assert closed == ["source", "on"]
    assert not [t for t in threading.enumerate() if t.name == "fomm-stage"]


def test_a_thread_runs_only_so_far_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            yield n

    pipe = threaded(source(), 3)
    next(pipe)
    for _ in range(200):
        time.sleep(0.001)
    assert len(made) <= 1 + 3 + 1
    pipe.close()


def test_batches() -> None:
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []


# ----------------------------------------------------------------------------------------------------------- animator


def test_the_front_door_leads_here() -> None:
    import fomm_cli

    assert fomm_cli.Animator is Animator


def test_relative_motion_through_the_animator() -> None:
    """The source at 100 takes the changes 0, +20, -40 of a clip that begins at 50."""
    animator = Animator(GreyEngine(), grey(100)[0])
    out = list(animator.frames(grey(50, 70, 10)))
    assert [int(f[0, 0, 0]) for f in out] == [100, 120, 60]
    assert out[0].dtype == np.uint8
    absolute = Animator(GreyEngine(), grey(100)[0], mode="absolute")
    assert [int(f[0, 0, 0]) for f in absolute.frames(grey(50, 70, 10))] == [50, 70, 10]


def test_the_source_is_encoded_and_detected_once() -> None:
    engine = GreyEngine(batch=4)
    animator = Animator(engine, grey(100)[0])
    assert len(list(animator.frames(grey(*range(10))))) == 10
    assert len(list(animator.frames(iter(grey(*range(3)))))) == 3
    assert [call for call in engine.calls if call[0] == "encode"] == [("encode", 1)]
    counts = [count for what, count in engine.calls if what == "detect"]
    assert counts == [1, 4, 4, 2, 3]


def test_anchors() -> None:
    for anchor in (grey(70)[0], GreyEngine().detect(np.stack(grey(70)))):
        animator = Animator(GreyEngine(), grey(100)[0], anchor=anchor)
        assert [int(f[0, 0, 0]) for f in animator.frames(grey(50, 70, 90))] == [80, 100, 120]
    animator = Animator(GreyEngine(), grey(100)[0])
    assert [int(next(animator.frames(grey(level)))[0, 0, 0]) for level in (10, 200)] == [100, 100], "each call anew"
    found = animator.find_anchor(grey(10, 100, 200))
    assert found.index == 0, "grey only moves and scales the points: every frame is as near"


def test_frames_are_lazy() -> None:
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield grey(9)[0]

    animator = Animator(GreyEngine(), grey(100)[0], batch=2)
    assert len(list(itertools.islice(animator.frames(endless()), 5))) == 5


def test_memory_that_runs_out_halves_the_batch_and_loses_nothing() -> None:
    engine = GreyEngine(batch=16, fits=3)
    animator = Animator(engine, grey(100)[0])
    out = list(animator.frames(grey(*range(50, 90))))
    assert [int(f[0, 0, 0]) for f in out] == list(range(100, 140))
    assert animator.batch == 2
    with pytest.raises(FommError, match="not enough memory"):
        Animator(GreyEngine(fits=0), grey(100)[0])


def test_any_shape_is_cut_and_resized_never_squashed() -> None:
    animator = Animator(GreyEngine((32, 48)), np.zeros((100, 100, 3), np.uint8))
    assert animator.source.shape == (32, 48, 3)
    wide = np.zeros((64, 400, 3), dtype=np.uint8)
    wide[:, 152:248] = 255
    assert animator.fit(wide)[:, 1:-1].min() == 255, "the middle of the right shape"


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((1, 1, 3), np.uint8), "1 x 1 pixels"),
        (np.zeros((32, 32, 3), np.float32), "float32"),
        (np.zeros((32, 32, 4), np.uint8), r"\(32, 32, 4\)"),
        ("picture.png", "str"),
    ],
)
def test_what_is_no_frame_is_refused(frame: object, said: str) -> None:
    with pytest.raises(FommError, match=said):
        Animator(GreyEngine(), frame)  # type: ignore[arg-type]
    with pytest.raises(FommError, match=said):
        list(Animator(GreyEngine(), grey(100)[0]).frames([frame]))  # type: ignore[list-item]


def test_no_frames_in_no_frames_out() -> None:
    assert list(Animator(GreyEngine(), grey(100)[0]).frames([])) == []
    with pytest.raises(FommError, match="no driving frames"):
        Animator(GreyEngine(), grey(100)[0]).find_anchor([])


def test_a_model_animates_like_its_own_seams() -> None:
    """The whole way through uint8 equals the three seams on tensors, whatever the batch."""
    import torch

    model = tiny_model()
    r = np.random.default_rng(0)
    source = r.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    driving = list(r.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8))
    results = [np.stack(list(Animator(model, source, mode="absolute", batch=b).frames(driving))) for b in (1, 4)]
    assert np.abs(results[0].astype(int) - results[1]).max() <= 1

    def tensor(frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255

    with torch.inference_mode():
        one = tensor(source[None])
        out = model.render(model.encode(one), model.detect(one), model.detect(tensor(np.stack(driving)))).prediction
    expected = (out * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.abs(results[1].astype(int) - expected).max() <= 1


def test_torch_running_out_of_memory_is_a_memory_error() -> None:
    import torch

    from fomm_cli.engine.plain import PlainEngine

    engine = PlainEngine(tiny_model())
    real = engine.model.detect

    def detect(image: torch.Tensor) -> object:
        if len(image) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(image)

    engine.model.detect = detect  # type: ignore[method-assign]
    animator = Animator(engine, grey(100)[0], batch=8)
    assert len(list(animator.frames(grey(*range(11))))) == 11
    assert animator.batch == 2

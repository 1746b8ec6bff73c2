"""Metrics against values known from elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fomm_cli.errors import FommError
from fomm_cli.evaluate import statistics
from fomm_cli.evaluate.lpips import Lpips, load
from fomm_cli.evaluate.metrics import Flicker, Measures, absolute_error, chosen, spread, squared_error, ssim
from fomm_cli.evaluate.observers import Observers, compare_embeddings, compare_points, pose_error
from fomm_cli.evaluate.records import Record, Tally
from fomm_cli.evaluate.report import results
from fomm_cli.model.pixels import psnr


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(3, 3, 40, 52, generator=torch.Generator().manual_seed(3))


def test_identical_pictures(pictures: torch.Tensor) -> None:
    assert absolute_error(pictures, pictures).tolist() == [0, 0, 0]
    assert ssim(pictures, pictures).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    assert psnr(float(squared_error(pictures, pictures).mean())) == math.inf


def test_l1_and_psnr_of_a_known_difference(pictures: torch.Tensor) -> None:
    other = pictures * 0.5
    assert absolute_error(pictures, other).tolist() == pytest.approx((pictures / 2).mean((1, 2, 3)).tolist(), rel=1e-6)
    # A difference of 0.1 everywhere: 10 log10(1 / 0.01) = 20 dB.
    assert psnr(float(squared_error(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)))) == pytest.approx(20)


def test_ssim_is_torchmetrics(pictures: torch.Tensor) -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    other = (pictures + 0.2 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(4))).clamp(0, 1)
    theirs = structural_similarity_index_measure(pictures, other, data_range=1.0, reduction="none")
    assert ssim(pictures, other).tolist() == pytest.approx(theirs.tolist(), abs=2e-6)


def test_ssim_says_when_frames_are_too_small() -> None:
    tiny = torch.rand(1, 3, 8, 8)
    with pytest.raises(FommError, match="8x8"):
        Measures(("ssim",)).add(Tally(), tiny, tiny)


def test_spread_of_a_square() -> None:
    square = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]])
    assert float(spread(square)[0]) == pytest.approx((4 * 2 + 2 * math.sqrt(8)) / 6)


def test_lpips_with_an_injected_network(pictures: torch.Tensor) -> None:
    class Distance(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            assert a.min() < 0, "LPIPS networks take [-1, 1]"
            return (a - b).abs().mean((1, 2, 3), keepdim=True)

    tally = Tally()
    Measures(("lpips",), Lpips(Distance())).add(tally, pictures, pictures * 0)
    assert tally.counts == {"lpips": 3}
    assert tally.mean("lpips") == pytest.approx(2 * float(pictures.mean()), rel=1e-5)


def test_lpips_takes_torchvisions_alexnet(tmp_path: Path, pictures: torch.Tensor) -> None:
    from torchvision.models import alexnet

    torch.manual_seed(0)
    state = {key: value for key, value in alexnet(weights=None).state_dict().items() if key.startswith("features")}
    path = tmp_path / "alexnet.pth"
    torch.save(state, path)
    lpips = load(path, torch.device("cpu"))
    assert torch.equal(lpips.network.state_dict()["net.slice3.6.weight"], state["features.6.weight"])
    assert lpips(pictures, pictures).tolist() == [0, 0, 0]
    assert (lpips(pictures, 1 - pictures) > 0).all()
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(FommError, match="not torchvision's AlexNet"):
        load(path, torch.device("cpu"))


def test_a_shift_of_three_pixels_is_an_akd_of_three() -> None:
    points = np.random.default_rng(0).uniform(20, 100, (68, 2))
    tally = Tally()
    compare_points(tally, points, points + 3)
    assert tally.mean("akd") == pytest.approx(3)
    assert tally.mean("mkr") == 0


def test_akd_is_in_pixels_at_256() -> None:
    class Corner:
        name, digest = "corner", None

        def points(self, frame: np.ndarray) -> np.ndarray:
            y, x = np.argwhere(frame[..., 0] > 0)[0]
            return np.array([[x, y]], float)

    frames = np.zeros((2, 64, 128, 3), np.uint8)
    frames[0, 10, 10] = frames[1, 12, 13] = 255
    observers, tally = Observers(Corner()), Tally()
    sights = observers.look(frames)
    observers.compare(tally, sights[:1], sights[1:], (64, 128))
    assert tally.mean("akd") == pytest.approx((3 * 256 / 128 + 2 * 256 / 64) / 2)


def test_a_missing_face_counts_once() -> None:
    face, tally = np.ones((68, 2)), Tally()
    for made in (face, None, face, face):
        compare_points(tally, face, made)
    assert tally.mean("mkr") == 0.25
    assert tally.missing == {"points_result": 1}
    assert tally.counts["akd"] == 3


def test_missing_joints_and_empty_truth() -> None:
    true, made = np.ones((4, 2)), np.ones((4, 2)) * 2
    made[1] = np.nan
    true[3] = np.nan
    tally = Tally()
    compare_points(tally, true, made)
    assert tally.mean("mkr") == pytest.approx(1 / 3)
    assert tally.mean("akd") == 1
    compare_points(tally, None, made)
    assert tally.missing == {"points_truth": 1}
    assert tally.counts["mkr"] == 1


def test_aed_is_given_as_distance_and_as_sum_of_squares() -> None:
    tally = Tally()
    compare_embeddings(tally, np.array([1.0, 2, 3]), np.array([1.0, 4, 5]))
    assert tally.mean("aed") == pytest.approx(math.sqrt(8))
    assert tally.mean("aed_squared") == pytest.approx(8)
    compare_embeddings(tally, None, np.zeros(3))
    compare_embeddings(tally, np.zeros(3), None)
    assert tally.missing == {"embedding_truth": 1, "embedding_result": 1}


def test_an_observer_looks_once_at_a_still_picture() -> None:
    class Counter:
        name, digest, looks = "counter", None, 0

        def points(self, frame: np.ndarray) -> np.ndarray:
            self.looks += 1
            return np.zeros((1, 2))

    counter = Counter()
    Observers(counter).look(np.zeros((5, 4, 4, 3), np.uint8))
    assert counter.looks == 1


def test_pose_error_forgives_shape_and_not_stillness() -> None:
    rng = np.random.default_rng(1)
    base, path = rng.uniform(0, 100, (5, 2)), rng.uniform(-9, 9, (6, 1, 2))
    driving = list(base + path)
    elsewhere = rng.uniform(0, 100, (5, 2))
    assert pose_error(driving, list(elsewhere + path)) == pytest.approx([0] * 6, abs=1e-9)
    still = pose_error(driving, [elsewhere] * 6)
    assert still == pytest.approx(np.abs(path - path.mean(0)).mean((1, 2)).tolist())
    assert len(pose_error(driving, [None, *list(elsewhere + path)[1:]])) == 5
    assert pose_error([None], [None]) == []


def test_estimates_weigh_frames_or_videos() -> None:
    sums, counts = [1.0, 9.0], [1.0, 3.0]
    assert statistics.ratio(sums, counts).value == 2.5
    assert statistics.mean([1.0, 3.0]).value == 2
    assert statistics.ratio([], []) == statistics.NOTHING
    assert statistics.mean([4.0]) == (4.0, None, None)


def test_intervals_are_seeded_and_hold_the_value() -> None:
    values = np.random.default_rng(5).normal(7, 1, 100).tolist()
    found = statistics.mean(values, seed=1)
    assert found == statistics.mean(values, seed=1)
    assert found != statistics.mean(values, seed=2)
    assert found.low < found.value < found.high
    # The normal interval is 1.96 standard errors to either side.
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(values) / 10, rel=0.15)


def test_identical_clips_are_counted_and_left_out_of_psnr() -> None:
    same, other = Tally(), Tally()
    same.add("squared", [0.0, 0.0])
    other.add("squared", [0.02, 0.0])
    records = [Record("a", "", 2, {"copy": same}), Record("b", "", 2, {"copy": other})]
    found = results(records, ["copy"], ["psnr"], 0)["copy"]["psnr"]
    assert (found["count"], found["identical_videos"]) == (1, 1)
    assert found["value"] == pytest.approx(20), "the pooled error of a clip: one frame of it may be identical"


def test_metrics_by_name() -> None:
    assert chosen("ssim, L1,l1") == ("l1", "ssim")
    with pytest.raises(FommError, match="psnrr"):
        chosen("psnrr")
    with pytest.raises(FommError, match="No metric"):
        chosen(" , ")


def test_fid_of_known_gaussians() -> None:
    from fomm_cli.evaluate.frechet import Cloud

    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (20000, 4)), rng.normal(0, 1, (20000, 4)) * [1, 2, 3, 1] + [0, 0, 0, 5]
    ours, theirs = Cloud(), Cloud()
    for chunk in np.split(a, 4):
        ours.add(chunk)
    theirs.add(b)
    # |m - m'|^2 + sum (s - s')^2 for Gaussians without correlation.
    assert ours.distance(theirs) == pytest.approx(25 + 1 + 4, rel=0.03)
    assert ours.distance(ours) == pytest.approx(0, abs=1e-9)
    assert Cloud().distance(ours) is None


def test_fid_agrees_with_torchmetrics_formula() -> None:
    from fomm_cli.evaluate.frechet import Cloud

    rng = np.random.default_rng(1)
    mix = rng.normal(0, 1, (6, 6))
    a, b = rng.normal(0, 1, (300, 6)) @ mix, rng.normal(0.3, 1.5, (200, 6))
    ours, theirs = Cloud(), Cloud()
    ours.add(a)
    theirs.add(b)
    product = torch.from_numpy(np.cov(a.T) @ np.cov(b.T))
    root = torch.linalg.eigvals(product).sqrt().real.sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * float(root)
    assert ours.distance(theirs) == pytest.approx(expected, rel=1e-6)


def test_flicker_is_unrest_where_the_driving_rests() -> None:
    still = np.full((7, 4, 4, 3), 100, dtype=np.uint8)
    driving = still.copy()
    driving[:, :2] += np.arange(7, dtype=np.uint8)[:, None, None, None] ** 2  # 2 levels and more: it does not rest
    trembling = still.copy()
    trembling[1::2, 2:] += 3
    tally, flicker = Tally(), Flicker()
    for part in (slice(0, 1), slice(1, 3), slice(3, 7)):  # however the frames come in
        flicker.add(tally, trembling[part], driving[part])
    assert tally.counts["flicker"] == 5
    assert tally.mean("flicker") == pytest.approx(6)
    tally = Tally()
    Flicker().add(tally, still + driving - 100, driving)
    assert tally.mean("flicker") == 0
    Flicker().add(tally, still[:2], still[:2])
    assert tally.counts["flicker"] == 5, "two frames have no second difference"

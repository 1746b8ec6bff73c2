"""Articulated regions through the house: published checkpoints and configs, training, resuming, animation, export."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import load_file

from fomm_cli import load_model
from fomm_cli.commands.app import main
from fomm_cli.config.reading import build, load
from fomm_cli.config.translation import translate
from fomm_cli.errors import FommError
from fomm_cli.files.disk import sha256
from fomm_cli.media.image import read_image, write_image
from fomm_cli.model.regions.avd import RegionDisentanglement
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.family import ArticulatedRegions
from fomm_cli.model.regions.pose import Regions
from fomm_cli.weights import catalogue
from fomm_cli.weights.catalogue import CATALOGUE, Original
from fomm_cli.weights.convert import read_published
from fomm_cli.weights.file import build_model
from tests.evaluation import run, write_tiny
from tests.golden_regions import avd_state, regions_tensors
from tests.training import tiny_clips

TREE: dict[str, Any] = {
    "name": "tiny-regions",
    "model": {
        "family": "regions",
        "num_regions": 3,
        "detector": {"block_expansion": 4, "max_features": 8, "num_blocks": 2, "scale_factor": 0.5, "pad": 3},
        "background": {"block_expansion": 4, "max_features": 8, "num_blocks": 2},
        "dense_motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 2, "scale_factor": 0.5},
        "generator": {"block_expansion": 4, "max_features": 8, "num_down_blocks": 1, "num_bottleneck_blocks": 1},
        "avd": {"id_bottle_size": 4, "pose_bottle_size": 4},
    },
    "data": {"frame_shape": [16, 16]},
    "train": {
        "num_epochs": 2,
        "num_repeats": 2,
        "batch_size": 4,
        "scales": [1.0],
        "ema": 0.9,
        "epoch_milestones": [1],
        "loss": {"perceptual": [0, 0, 0, 0, 0], "reconstruction": 10.0},
        "avd": {"num_epochs": 2, "num_repeats": 1, "batch_size": 4},
    },
}


def tiny_config() -> Any:
    return build(TREE)


@pytest.fixture(scope="module")
def checkpoint(golden_regions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint as both stages would have left it."""
    stored = torch.load(golden_regions / "pca.pth.tar", weights_only=True)
    stored["avd_network"] = avd_state(RegionDisentanglement(RegionsConfig(num_regions=5)))
    path = tmp_path_factory.mktemp("published") / "bodies.pth"
    torch.save(stored, path)
    return path


@pytest.fixture(scope="module")
def weights(checkpoint: Path) -> Path:
    """The same, converted by the command."""
    path = checkpoint.with_name("bodies.safetensors")
    assert main(["weights", "convert", str(checkpoint), "-o", str(path), "--set", "data.frame_shape=64"]) == 0
    return path


# ------------------------------------------------------------------------------------------- published checkpoints


def test_converted_weights_predict_what_the_original_did(golden_regions: Path, weights: Path) -> None:
    tensors = {name: value.float() for name, value in regions_tensors(golden_regions, "pca").items()}
    model = load_model(weights, "cpu")
    source, driving = tensors["input.source"], tensors["input.driving"][1:2]
    with torch.inference_mode():
        encoded, pose_source, pose_driving = model.encode(source), model.detect(source), model.detect(driving)
        plain = model.render(encoded, pose_source, pose_driving).prediction
        moved = model.render(encoded, pose_source, model.disentangle(pose_source, pose_driving)).prediction
    torch.testing.assert_close(plain, tensors["standard.1.prediction"], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved, tensors["avd.1.prediction"], atol=1e-4, rtol=0)


def test_mode_avd_is_evaluated_against_the_driving_pose(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["eval", "animation", "-w", weights, "--identities", "2", "--frames", "2", "--size", "64"]
    found = run(capsys, *asked, "--mode", "absolute,avd", "--json")["results"]
    name = weights.stem
    assert list(found) == ["copy, absolute", f"{name}, absolute", "copy, avd", f"{name}, avd"]
    assert found["copy, avd"]["l1"]["value"] == found["copy, absolute"]["l1"]["value"], "one answer for both"
    assert found[f"{name}, avd"]["l1"]["value"] != found[f"{name}, absolute"]["l1"]["value"]
    assert "always scaled" in run(capsys, *asked, "--mode", "relative", "--no-adapt-scale", code=1)
    other = run(capsys, *asked, "-w", write_tiny(tmp_path / "first.safetensors"), "--mode", "avd", code=1)
    assert "first: There is no mode 'avd'" in other


def test_what_no_shape_shows_is_assumed_and_told(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "convert", str(checkpoint), "-o", str(tmp_path / "out.safetensors")]) == 0
    said = capsys.readouterr()
    for line in (
        "model.align_corners = no",
        "model.detector.pad = 0",
        "model.detector.pca = yes",
        "animate.mode = avd",
    ):
        assert line in said.out
    assert "--set" in said.err


def variant(stored: dict[str, Any], path: Path, **parts: Any) -> Path:
    torch.save({**stored, **parts}, path)
    return path


def test_a_background_that_stands_still_is_an_empty_predictor(golden_regions: Path, tmp_path: Path) -> None:
    stored = torch.load(golden_regions / "pca.pth.tar", weights_only=True)
    for number, still in enumerate((stored | {"bg_predictor": {}}, {k: v for k, v in stored.items() if k[0] != "b"})):
        read = read_published(variant(still, tmp_path / f"{number}.pth"))
        assert read.config.model.model_dump()["background"]["type"] == "zero"


def test_every_key_of_a_checkpoint_is_accounted_for(golden_regions: Path, tmp_path: Path) -> None:
    stored = torch.load(golden_regions / "pca.pth.tar", weights_only=True)
    more = {**stored["region_predictor"], "fancy.weight": torch.zeros(3)}
    less = {name: value for name, value in stored["region_predictor"].items() if name != "regions.bias"}
    for part, told in ((more, "keypoint_detector.fancy.weight"), (less, "keypoint_detector.regions.bias")):
        with pytest.raises(FommError, match=told):
            read_published(variant(stored, tmp_path / "other.pth", region_predictor=part))


def test_the_makers_own_file_is_known_by_its_hash(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so the pad that no shape shows, whatever the file is called."""
    original = Original(checkpoint.stat().st_size, sha256(checkpoint), "https://example.org")
    entry = replace(CATALOGUE["mraa-vox-256"], original=original)
    monkeypatch.setattr(catalogue, "_ENTRIES", (entry,))
    assert catalogue.recognised(checkpoint) is entry
    with pytest.raises(FommError, match="does not fit its architecture"):  # the reference is a hundred times smaller
        read_published(checkpoint)
    assert catalogue.recognised(variant({}, tmp_path / "other.pth", a=torch.zeros(1))) is None


def test_regression_is_read_off_the_shapes(golden_regions: Path) -> None:
    read = read_published(golden_regions / "regression.pth.tar")
    assert isinstance(read.config.model, RegionsConfig)
    assert read.config.model.axes == "regression"
    assert "model.detector.pca" not in read.assumed


PUBLISHED_YAML = """
dataset_params: {root_dir: data/vox-png, frame_shape: null, id_sampling: true, pairs_list: null,
  augmentation_params: {flip_param: {horizontal_flip: true, time_flip: true},
    jitter_param: {brightness: 0.1, contrast: 0.1, saturation: 0.1, hue: 0.1}}}
model_params: {num_regions: 10, num_channels: 3, estimate_affine: true, revert_axis_swap: true,
  bg_predictor_params: {block_expansion: 32, max_features: 1024, num_blocks: 5, bg_type: affine},
  region_predictor_params: {temperature: 0.1, block_expansion: 32, max_features: 1024, scale_factor: 0.25,
    num_blocks: 5, pca_based: true, fast_svd: false},
  generator_params: {block_expansion: 64, max_features: 512, num_down_blocks: 2, num_bottleneck_blocks: 6, skips: true,
    pixelwise_flow_predictor_params: {block_expansion: 64, max_features: 1024, num_blocks: 5, scale_factor: 0.25,
      use_deformed_source: true, use_covar_heatmap: true, estimate_occlusion_map: true}},
  avd_network_params: {id_bottle_size: 64, pose_bottle_size: 64}}
train_params: {num_epochs: 100, num_repeats: 75, epoch_milestones: [60, 90], lr: 2.0e-4, batch_size: 14,
  use_sync_bn: false, dataloader_workers: 6, checkpoint_freq: 50, scales: [1, 0.5, 0.25, 0.125],
  transform_params: {sigma_affine: 0.05, sigma_tps: 0.005, points_tps: 5},
  loss_weights: {perceptual: [10, 10, 10, 10, 10], equivariance_shift: 10, equivariance_affine: 10}}
train_avd_params: {num_epochs: 30, num_repeats: 2000, batch_size: 256, dataloader_workers: 20, checkpoint_freq: 50,
  epoch_milestones: [20, 25], lr: 1.0e-3, random_scale: 0.25, lambda_shift: 1, lambda_affine: 1}
animate_params: {num_pairs: 50, format: .mp4, mode: avd}
"""


def test_the_published_vocabulary_gives_the_preset(tmp_path: Path) -> None:
    """Its silence included: vox is the one config that does not say its pad, and 3 is what the code then takes."""
    (tmp_path / "vox256.yaml").write_text(PUBLISHED_YAML)
    ours, theirs = load("mraa-vox-256"), load(tmp_path / "vox256.yaml")
    assert theirs.model_copy(update={"name": ours.name, "description": ours.description}) == ours
    assert isinstance(theirs.model, RegionsConfig)
    assert theirs.model.detector.pad == 3


def test_standard_animation_is_called_absolute_here() -> None:
    tree, _ = translate(yaml.safe_load(PUBLISHED_YAML.replace("mode: avd", "mode: standard")))
    assert tree["animate"]["mode"] == "absolute"


@pytest.mark.parametrize(
    ("preset", "tensors", "numbers"),
    [("mraa-vox-256", 373, 68_295_177), ("mraa-mgif-256", 336, 62_012_739)],
)
def test_presets_are_networks_of_the_published_sizes(preset: str, tensors: int, numbers: int) -> None:
    with torch.device("meta"):
        model = build_model(load(preset), ["avd"])
    assert len(model.state_dict()) == tensors
    assert sum(parameter.numel() for parameter in model.parameters()) == numbers


# ---------------------------------------------------------------------------------------------------------- training


def train(place: Path, runs: str, *more: str) -> Path:
    """A run of the command, to its end or to where `more` cuts it; its folder."""
    words = ["--data", str(place / "data"), "--runs", str(place / runs), "--workers", "0", "--device", "cpu", *more]
    assert main(["train", *words]) == 0
    return max((place / runs).iterdir())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips, a config, and an uninterrupted run of each stage in `whole`."""
    place = tmp_path_factory.mktemp("regions")
    tiny_clips(place / "data")
    (place / "tiny.yaml").write_text(yaml.safe_dump(TREE))
    first = train(place, "whole", str(place / "tiny.yaml"))
    train(place, "second", "avd", "--init", str(first / "weights.safetensors"))
    return place


@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_stopped_run_goes_on_bit_for_bit(place: Path, stage: str) -> None:
    """To the same weights, statistics and numbers, stopped in the middle of an epoch."""
    first = next((place / "whole").iterdir())
    source = {"first": [str(place / "tiny.yaml")], "second": ["avd", "--init", str(first / "weights.safetensors")]}
    stopped = train(place, f"stopped-{stage}", *source[stage], "--steps", "3")
    assert main(["resume", str(stopped)]) == 0
    whole = {"first": first, "second": next((place / "second").iterdir())}[stage]
    ours, theirs = (load_file(run / "weights.safetensors") for run in (stopped, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_second_stage_moves_nothing_but_its_network(place: Path) -> None:
    """Statistics of batch norm included, which the original lets drift."""
    before = load_file(next((place / "whole").iterdir()) / "weights.safetensors")
    after = load_file(next((place / "second").iterdir()) / "weights.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {name.partition(".")[0] for name in after.keys() - before.keys()} == {"avd"}


def test_in_bf16_regions_and_flows_stay_float32() -> None:
    model = ArticulatedRegions().network(tiny_config().model, (16, 16))
    picture = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        pose, background = model.detect(picture), model.background(picture, picture.flip(3))
        out = model.render(model.encode(picture), pose, pose, background)
    assert {field.dtype for field in (*pose, background, out.flow, out.prediction)} == {torch.float32}


# --------------------------------------------------------------------------------------------------------- animation


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with source.png and six driving frames."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (16, 24, 3), dtype=np.uint8).repeat(6, axis=0).repeat(6, axis=1)
    Path("driving").mkdir()
    for number in range(6):
        write_image(Path("driving") / f"{number}.png", noise[:64, 3 * number : 3 * number + 64])
    write_image(Path("source.png"), noise[16:80, 40:104])
    return tmp_path


def animate(weights: Path, mode: str, *more: str) -> NDArray[np.uint8]:
    arguments = ["animate", "source.png", "driving", "-o", f"{mode}{len(more)}", "--weights", str(weights)]
    assert main([*arguments, "--mode", mode, "--device", "cpu", *more]) == 0
    return np.stack([read_image(path) for path in sorted(Path(f"{mode}{len(more)}").glob("*.png"))])


def test_every_mode_animates_and_each_in_its_way(clip: Path, weights: Path) -> None:
    made = {mode: animate(weights, mode) for mode in ("relative", "absolute", "avd")}
    assert all(frames.shape == (6, 64, 64, 3) for frames in made.values())
    for one, other in (("relative", "absolute"), ("relative", "avd"), ("absolute", "avd")):
        assert (made[one] != made[other]).any()


def test_avd_needs_its_network(clip: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = next((place / "whole").iterdir()) / "weights.safetensors"
    assert main(["animate", "source.png", "driving", "-o", "out", "--weights", str(first), "--mode", "avd"]) == 1
    assert "avd" in capsys.readouterr().err
    assert not Path("out").exists()


def test_movements_are_always_scaled(clip: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["animate", "source.png", "driving", "-o", "out", "--weights", str(weights), "--no-adapt-scale"]
    assert main([*words, "--mode", "relative"]) == 1
    assert "scale" in capsys.readouterr().err


def test_an_export_animates_as_the_model_without_torch(clip: Path, weights: Path) -> None:
    assert main(["export", str(weights), "-o", "onnx"]) == 0
    for mode in ("relative", "avd"):
        ours, theirs = animate(weights, mode, "--engine", "plain"), animate(Path("onnx"), mode)
        assert np.abs(ours.astype(int) - theirs).max() <= 1
    script = """
import sys
sys.modules["torch"] = None
from fomm_cli.commands.app import main
sys.exit(main(sys.argv[1:]))
"""
    words = ["animate", "source.png", "driving", "-o", "out", "--weights", "onnx", "--mode", "avd"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(Path("out").glob("*.png"))) == 6


def random_regions(count: int) -> Regions:
    rng = np.random.default_rng(0)
    axes = np.array([[1, 0.2], [0.1, -0.5]]) * (1 + 0.1 * rng.normal(size=(count, 3, 2, 2)))
    return Regions(rng.uniform(-1, 1, (count, 3, 2)), axes, axes @ np.swapaxes(axes, -1, -2))


def test_motion_can_be_edited_and_a_flip_of_axes_is_none() -> None:
    driving = random_regions(4)
    space = ArticulatedRegions().space(Regions(*(field[:1] for field in driving)))
    flipped = driving._replace(jacobian=-driving.jacobian)
    channels = space.channels(flipped)
    np.testing.assert_allclose(channels, space.channels(driving))
    np.testing.assert_allclose(channels[0], 0, atol=1e-12)
    for ours, theirs in zip(space.poses(channels), driving, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_an_edited_motion_animates(clip: Path, weights: Path) -> None:
    calm, wild = (animate(weights, "relative", *more) for more in (("--motion-scale", "0.2"), ()))
    still = np.abs(calm.astype(int) - calm[:1]).mean()
    assert 0 < still < np.abs(wild.astype(int) - wild[:1]).mean()


def test_the_anchor_is_told_by_places_and_extents() -> None:
    driving = random_regions(4)
    third = Regions(*(field[2:3] for field in driving))
    moved = Regions(0.5 * third.value + 0.1, -0.5 * third.jacobian, 0.25 * third.covariance)
    distances = ArticulatedRegions().distance(moved, driving)
    assert distances[2] == pytest.approx(0, abs=1e-9)  # place, size and the heads of axes do not count
    assert (np.delete(distances, 2) > 0.1).all()

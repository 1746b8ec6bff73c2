"""Thin-plate splines through the house: published files, training that is interrupted, exports, the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from fomm_cli.bench.stand_in import clip
from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.config.translation import translate
from fomm_cli.engine.choose import make_engine
from fomm_cli.engine.onnx import OnnxEngine
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.export.export import export
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.thin_plate.published import read_architecture
from fomm_cli.train import checkpoint
from fomm_cli.weights.convert import read_published
from fomm_cli.weights.file import build_model, save_weights
from fomm_cli.weights.header import read_header
from fomm_cli.weights.load import load_model
from tests.clips import shades, write_clip
from tests.thin_plate import PARTS, golden_thin_plate_config, published_state, recipe
from tests.training import tiny_clips

TREE: dict[str, Any] = {
    "name": "tiny-tps",
    "model": {
        "family": "thin_plate",
        "num_tps": 2,
        "resnet_width": 8,
        "dense_motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 2, "scale_factor": 0.25},
        "generator": {"block_expansion": 4, "max_features": 8},
        "avd": {"id_bottle_size": 4, "pose_bottle_size": 4},
    },
    "data": {"frame_shape": [32, 32], "augmentation": {"brightness": 0.1}},
    "train": {
        "num_epochs": 4,
        "num_repeats": 2,
        "batch_size": 4,
        "scales": [1.0],
        "ema": 0.9,
        "epoch_milestones": [2],
        "bg_start": 2,
        "dropout": {"until": 3, "rise": 2},
        "loss": {"perceptual": [0, 0, 0, 0, 0], "reconstruction": 10.0},
        "avd": {"stage": "avd", "num_epochs": 2, "num_repeats": 1, "batch_size": 5},
    },
}


def tiny() -> Config:
    return configs.build(TREE)


@pytest.fixture(scope="module")
def model() -> AnimationModel:
    """A tiny network with everything that may stand beside it, in which poses move the picture."""
    model = build_model(tiny(), ["avd"])
    names = {ours: theirs for theirs, ours in PARTS.items()}
    for name, value in model.state_dict().items():
        part, _, rest = name.partition(".")
        value.copy_(recipe(f"{names[part]}.{rest}", value.shape, 1))
    return model.eval()


@pytest.fixture(scope="module")
def weights(model: AnimationModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", model, tiny())


# ------------------------------------------------------------------------------------------------ published checkpoints


@pytest.fixture(scope="module")
def published(golden_thin_plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as it is after the second stage, constant kernel and optimiser included."""
    stored = json.loads((golden_thin_plate / "configs.json").read_text())["normal"]
    layout = json.loads((golden_thin_plate / "layouts.json").read_text())["normal"]
    content: dict[str, Any] = published_state(layout, stored["seed"])
    content["dense_motion_network"]["down.weight"] = torch.ones(3, 1, 13, 13)
    content |= {"optimizer_avd": {"state": {}}, "epoch": 99}
    path = tmp_path_factory.mktemp("published") / "vox.pth.tar"
    torch.save(content, path)
    return path


def test_a_published_checkpoint_is_recognised_and_renders_the_originals_numbers(
    published: Path, golden_thin_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "vox.safetensors"
    assert main(["weights", "convert", str(published), "-o", str(file), "--set", "data.frame_shape=[64,64]"]) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "model.dense_motion.kp_variance" in said
    assert "model.align_corners" not in said, "this family has one convention: nothing is assumed"
    header = read_header(file)
    assert header.parts == list(PARTS.values())
    assert header.provenance["epoch"] == 99
    loaded = load_model(file, "cpu")
    tensors = load_file(golden_thin_plate / "normal.safetensors")
    source, driving = tensors["input.source"], tensors["input.driving"][1:2]
    poses = loaded.detect(source), loaded.detect(driving)
    moved = loaded.disentangle(*poses)
    for pose, name in ((poses[1], "standard"), (moved, "avd")):
        prediction = loaded.render(loaded.encode(source), poses[0], pose).prediction
        torch.testing.assert_close(prediction, tensors[f"{name}.1.prediction"], atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "variant", ["normal", "no_background", "single_mask", "half_scale", "eighth_scale", "unscaled"]
)
def test_the_architecture_is_read_off_the_shapes(golden_thin_plate: Path, variant: str) -> None:
    layout = json.loads((golden_thin_plate / "layouts.json").read_text())[variant]
    stored = json.loads((golden_thin_plate / "configs.json").read_text())[variant]
    theirs = {f"{part}.{key}": tuple(shape) for part, keys in layout.items() for key, shape in keys.items()}
    ours = {PARTS[name.partition(".")[0]] + "." + name.partition(".")[2]: shape for name, shape in theirs.items()}
    found = read_architecture(ours, theirs)
    expected = golden_thin_plate_config(stored["model_params"], stored["size"], {}).model
    ours_config = configs.build(found.tree).model.model_dump()
    truth = expected.model_dump()
    for part in ("generator", "dense_motion"):  # where no block reaches either cap
        truth[part]["max_features"] = max(truth[part]["max_features"], ours_config[part]["max_features"])
    assert ours_config == truth
    scaled = "dense_motion_network.down.weight" in theirs
    assert ("model.dense_motion.scale_factor" in found.assumed) is not scaled


@pytest.mark.parametrize("name", ["vox-256", "taichi-256", "ted-384", "mgif-256"])
def test_presets_are_the_published_configs(golden_thin_plate: Path, name: str) -> None:
    layouts = json.loads((golden_thin_plate / "published_layouts.json").read_text())
    theirs = json.loads((golden_thin_plate / "published_configs.json").read_text())[name]
    tree, ignored = translate(theirs)
    assert {key.rpartition(".")[2] for key in ignored} <= {
        "root_dir", "frame_shape", "dataloader_workers", "checkpoint_freq", "lambda_affine",
        "kp_size", "draw_border", "colormap",
    }  # fmt: skip
    preset = configs.load(f"tps-{name}")
    tree["data"] |= {"frame_shape": list(preset.data.frame_shape)}
    tree |= {"name": preset.name, "description": preset.description}
    assert configs.build(tree) == preset

    layout = layouts["layouts"][layouts["configs"][name]]
    published = {f"{part}.{key}": tuple(shape) for part, keys in layout.items() for key, shape in keys.items()}
    ours = {PARTS[key.partition(".")[0]] + "." + key.partition(".")[2]: shape for key, shape in published.items()}
    assert configs.build(read_architecture(ours, published).tree).model == preset.model


def test_what_does_not_fit_is_refused(published: Path, tmp_path: Path) -> None:
    content = torch.load(published, weights_only=True)
    del content["dense_motion_network"]["up.0.norm.bias"]
    torch.save(content, tmp_path / "lacking.pth.tar")
    with pytest.raises(FommError, match=r"1 missing: dense_motion.up.0.norm.bias"):
        read_published(tmp_path / "lacking.pth.tar")
    with pytest.raises(FommError, match="another family"):
        read_published(published, config="vox-256")
    configured = yaml.safe_load(tiny().to_yaml())
    configured["model"]["dense_motion"]["scale_factor"] = 0.125
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(configured))
    with pytest.raises(FommError, match=r"scale_factor is 0\.125"):
        read_published(published, config=tmp_path / "other.yaml")


def test_configs_that_cannot_be_built_say_why() -> None:
    def build(**changes: Any) -> Config:
        return configs.build(TREE | {"model": TREE["model"] | changes})

    with pytest.raises(FommError, match="num_down_blocks: 3"):
        build(generator={"num_down_blocks": 2})
    with pytest.raises(FommError, match="num_blocks >= 2"):
        build(dense_motion={"num_blocks": 1})
    with pytest.raises(FommError, match="multiples of 128"):
        build(dense_motion={})
    with pytest.raises(FommError, match="one pixel"):
        build_model(build(dense_motion={"num_blocks": 3}))


# ------------------------------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips and the tiny config."""
    place = tmp_path_factory.mktemp("training")
    tiny_clips(place / "data", train=10, test=1, side=32)
    (place / "tiny.yaml").write_text(yaml.safe_dump(TREE))
    return place


def train(place: Path, runs: str, *more: str, source: str = "tiny.yaml") -> list[str]:
    what = source if source == "avd" else str(place / source)
    words = ["train", what, "--data", str(place / "data"), "--runs", str(place / runs), "--workers", "0"]
    return [*words, "--log-every", "3", "--device", "cpu", *more]


def losses(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = ("step_time", "data_time", "pairs_per_second", "memory_gib")
    return [{key: value for key, value in line.items() if key not in measured} for line in lines]


def same(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    ours, theirs = (checkpoint.read(run / "checkpoints" / "last.pt")["state"] for run in (one, other))
    for part in ("model", "average"):
        assert all(torch.equal(ours[part][name], value) for name, value in (theirs[part] or {}).items()), part


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """An uninterrupted first stage: 4 epochs of 5 steps."""
    assert main(train(place, "whole")) == 0
    return place / "whole" / "00001-tiny-tps"


def test_a_run_goes_on_bit_for_bit(place: Path, whole: Path) -> None:
    assert main(train(place, "cut", "--steps", "7")) == 0
    cut = place / "cut" / "00001-tiny-tps"
    assert main(["resume", str(cut), "--steps", "13"]) == 0
    assert main(["resume", str(cut)]) == 0
    same(cut, whole)
    lines = losses(whole)
    assert [line["bg"] > 0 for line in lines] == [False] * 11 + [True] * 9, "from bg_start on, where it begins as 0"
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_second_stage_goes_on_bit_for_bit_and_animates(
    place: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = ["--init", str(whole / "weights.safetensors")]
    assert main(train(place, "avd", *init, source="avd")) == 0
    assert main(train(place, "avd-cut", *init, "--steps", "3", source="avd")) == 0
    run, cut = (place / runs / "00001-tiny-tps-avd" for runs in ("avd", "avd-cut"))
    assert main(["resume", str(cut)]) == 0
    same(cut, run)
    assert not (run / "validation.jsonl").exists(), "no picture changes: there is nothing to validate"
    before, after = load_file(whole / "weights.safetensors"), load_file(run / "weights.safetensors")
    assert {name.partition(".")[0] for name in after.keys() - before.keys()} == {"avd"}
    assert all(torch.equal(after[name], value) for name, value in before.items())

    monkeypatch.chdir(tmp_path)
    picture_and_clip()
    words = ["animate", "face.png", "talk.mp4", "--mode", "avd", "-o", "out", "--device", "cpu"]
    assert main([*words, "--weights", str(run / "weights.safetensors")]) == 0
    assert len(list(Path("out").glob("*.png"))) == 3


def test_the_second_stage_needs_a_first(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train(place, "none", source="avd")) == 1
    assert "--init" in capsys.readouterr().err
    assert main(train(place, "none", "--init", "toon-128", source="avd")) == 1
    assert "first order motion, which has no second stage" in " ".join(capsys.readouterr().err.split())


# -------------------------------------------------------------------------------------------------- engines and exports


def picture_and_clip() -> None:
    """face.png and talk.mp4, 3 frames, in the current folder."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)).save("face.png")
    write_clip(Path("talk.mp4"), shades(3))


def test_an_export_equals_the_model(model: AnimationModel, tmp_path: Path) -> None:
    agreement = export(model, tiny(), tmp_path / "export")
    assert agreement.psnr > 60
    frames = clip(model.size, 4)
    plain, other = PlainEngine(model), OnnxEngine(tmp_path / "export")
    pictures = []
    for engine in (plain, other):
        encoded, source = engine.encode(frames[0]), engine.detect(frames[:1])
        driving = engine.detect(frames)
        moved = engine.disentangle(source, driving)
        pictures.append(np.concatenate([engine.render(encoded, source, pose) for pose in (driving, moved)]))
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1
    assert pictures[0].std() > 5
    assert np.abs(pictures[0][:4].astype(int) - pictures[0][4:]).max() > 5, "another pose, another picture"


def test_modes_through_the_command(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture_and_clip()
    pictures = {}
    for mode in ("relative", "absolute", "avd"):
        words = ["animate", "face.png", "talk.mp4", "--weights", str(weights), "-o", mode, "--mode", mode]
        assert main([*words, "--device", "cpu"]) == 0
        pictures[mode] = [np.asarray(Image.open(path)) for path in sorted(Path(mode).glob("*.png"))]
    assert [len(frames) for frames in pictures.values()] == [3, 3, 3]
    assert not np.array_equal(pictures["absolute"][0], pictures["avd"][0])
    capsys.readouterr()
    without = save_weights(tmp_path / "without.safetensors", build_model(tiny()), tiny())
    words = ["animate", "face.png", "talk.mp4", "-o", "x", "--device", "cpu", "--weights"]
    assert main([*words, str(without), "--mode", "avd"]) == 1
    assert "fomm train avd" in capsys.readouterr().err
    assert main([*words, str(weights), "--no-adapt-scale"]) == 1
    assert "always" in capsys.readouterr().err
    assert not Path("x").exists()


def test_bf16_stays_close(model: AnimationModel) -> None:
    frames = clip(model.size, 3)
    pictures = []
    for precision in ("fp32", "bf16"):
        engine = make_engine(model, precision=precision)
        source = engine.detect(frames[:1])
        pictures.append(engine.render(engine.encode(frames[0]), source, engine.detect(frames)).astype(np.float64))
    error = np.mean((pictures[0] - pictures[1]) ** 2)
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 35

"""Presets, `--set`, upstream files, and the errors that explain themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.config.translation import translate
from fomm_cli.errors import FommError


@pytest.mark.parametrize("name", configs.presets())
def test_every_preset_loads_and_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    config = configs.load(name)
    assert config.name == name
    assert config.description
    (tmp_path / "copy.yaml").write_text(config.to_yaml())
    assert configs.load(tmp_path / "copy.yaml") == config


def test_presets_equal_the_published_values(golden: Path) -> None:
    for name, tree in json.loads((golden / "official_configs.json").read_text()).items():
        ours, published = configs.load(name), configs.build({**translate(tree)[0], "name": name})
        if name.endswith("-adv-256"):  # their 150 epochs continue from the plain preset's 100
            published = published.model_copy(update={"train": published.train.model_copy(update={"num_epochs": 50})})
        assert ours == published.model_copy(update={"description": ours.description})


def test_ted_is_vox_without_identity_sampling() -> None:
    ted, vox = configs.load("ted-256"), configs.load("vox-256")
    assert not ted.data.id_sampling
    assert (ted.model, ted.train) == (vox.model, vox.train)


def test_set_overrides_and_numeric_text_counts_as_a_number() -> None:
    config = configs.load("vox-256", ["train.lr_generator=1e-4", "data.frame_shape=[128, 384]", "train.batch_size=8"])
    assert config.train.lr_generator == 1e-4
    assert config.data.frame_shape == (128, 384)
    assert config.train.batch_size == 8


def test_setting_one_key_leaves_the_defaults_of_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("train: {batch_size: 8}\n")
    plain, turned = configs.load(path), configs.load(path, ["data.augmentation.rotation=5"])
    assert turned.data.augmentation == plain.data.augmentation.model_copy(update={"rotation": 5.0})
    assert turned.model_copy(update={"data": plain.data}) == plain


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("train.lr_generater=1", "train.lr_generator"),
        ("batch_size=4", "train.batch_size"),
        ("train.loss.perceptal=1", "train.loss.perceptual"),
    ],
)
def test_an_unknown_key_names_the_nearest(override: str, suggestion: str) -> None:
    with pytest.raises(FommError, match=suggestion):
        configs.load("vox-256", [override])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.batch_size=0", "train.batch_size"),
        ("model.generator.skip=blur", "model.generator.skip"),
        ("train.accumulate=3", "accumulate"),
        ("data.frame_shape=2", "between 8 and 8192"),
        ("train.batch_size", "no value"),
        ("train=3", "train"),
    ],
)
def test_a_bad_value_names_its_key(override: str, words: str) -> None:
    with pytest.raises(FommError, match=words):
        configs.load("vox-256", [override])


def test_blend_without_an_occlusion_map_is_refused() -> None:
    with pytest.raises(FommError, match="estimate_occlusion_map"):
        configs.load("vox-256", ["model.generator.skip=blend", "model.generator.estimate_occlusion_map=false"])


def test_unknown_preset_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="vox-256"):
        configs.load("vox-265")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(FommError, match="not valid YAML"):
        configs.load(broken)
    broken.write_text("- 1")
    with pytest.raises(FommError, match="mapping"):
        configs.load(broken)
    broken.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(FommError, match="text"):
        configs.load(broken)


def test_an_upstream_file_is_translated_and_its_foreign_keys_listed(golden: Path, tmp_path: Path) -> None:
    tree = json.loads((golden / "official_configs.json").read_text())["mgif-256"]
    path = tmp_path / "mgif.yaml"
    path.write_text(yaml.safe_dump(tree))
    loaded = configs.read(path)
    assert loaded.config.model == configs.load("mgif-256").model
    assert loaded.config.name == "mgif"
    assert "visualizer_params.kp_size" in loaded.ignored
    assert "train_params.checkpoint_freq" in loaded.ignored
    tree["train_params"]["num_epoch"] = 3
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(FommError, match=r"train_params\.num_epoch"):
        configs.read(path)


def test_check_goes_on_after_a_wrong_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: {num_kps: 3}")
    assert main(["config", "check", str(bad), "vox-256", "toon-46"]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{bad}: wrong. ")
    assert "model.num_kps" in lines[0]
    assert lines[1].startswith("vox-256: fine")
    assert lines[2].startswith("toon-46: wrong. ")
    assert "toon-64" in lines[2]
    assert "2 of 3 configurations are wrong" in said.err
    assert main(["config", "check", str(bad)]) == 1
    assert "model.num_kps" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change", ["toon-64 model.num_kp", "tps-toon-128 model.num_tps", "mraa-toon-128 model.num_regions"]
)
def test_numbers_of_points_are_bounded(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    preset, key = change.split()
    assert main(["train", preset, "--data", "none", "--set", f"{key}=100000", "--dry-run"]) == 1
    assert key in capsys.readouterr().err

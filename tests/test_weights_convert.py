"""Published checkpoints become weights files: right numbers, every key accounted for, clear refusals."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.errors import FommError
from fomm_cli.model.first_order.published import read_architecture
from fomm_cli.weights.convert import convert, read_published
from fomm_cli.weights.file import expected_shapes
from fomm_cli.weights.load import init_from, load_model
from tests.golden import VARIANTS, golden_config

PUBLISHED = [
    name
    for name in configs.presets()
    if name.endswith("-256") and name != "ted-256" and configs.load(name).model.family == "first_order"
]


@pytest.fixture(scope="module")
def stored(golden: Path) -> dict[str, Any]:
    """The reference checkpoint as loaded; tests copy before they change it."""
    return torch.load(golden / "first_order.pth.tar", weights_only=True)


def save(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(FommError) as caught:
        read_published(path, **options)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("variant", VARIANTS)
def test_architecture_is_read_off_the_shapes(golden: Path, variant: str) -> None:
    read = read_published(golden / f"{variant}.pth.tar")
    truth = golden_config(golden, variant).model.model_dump()
    found = read.config.model.model_dump()
    assert expected_shapes(read.config, ["discriminator"]) == expected_shapes(
        golden_config(golden, variant), ["discriminator"]
    )
    truth["generator"]["max_features"] = found["generator"]["max_features"]  # no block reaches either cap
    truth["detector"]["pad"] = 0  # no shape tells it, and the reader says so
    assert found == truth
    assert read.assumed["model.detector.pad"] == 0
    assert read.epoch == 99
    assert all(name.endswith("down.weight") for name in read.dropped)


@pytest.mark.parametrize("variant", VARIANTS)
def test_converted_weights_predict_what_the_original_did(golden: Path, tmp_path: Path, variant: str) -> None:
    file = tmp_path / "converted.safetensors"
    pad = ["model.detector.pad=3"] if variant == "padded_heatmap" else []
    convert(golden / f"{variant}.pth.tar", file, overrides=pad)
    model = load_model(file, "cpu")
    truth = load_file(golden / f"{variant}.safetensors")
    source, driving = model.detect(truth["input.source"]), model.detect(truth["input.driving"][1:2])
    out = model.render(model.encode(truth["input.source"]), source, driving)
    expected = truth["align_corners_true.absolute.1.prediction"]
    torch.testing.assert_close(out.prediction, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_are_read_as_their_presets(name: str) -> None:
    preset = configs.load(name)
    shapes = expected_shapes(preset, ["discriminator"])
    kernels = dict.fromkeys(["kp_detector.down.weight", "generator.dense_motion_network.down.weight"], (3, 1, 13, 13))
    read = read_architecture(shapes, kernels)
    assert configs.build(read.tree).model == preset.model


def test_pickles_of_before_the_zip_format(stored: dict[str, Any], golden: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "vox-cpk.pth.tar", stored, _use_new_zipfile_serialization=False)
    assert file.read_bytes()[:2] != b"PK"
    old, new = read_published(file), read_published(golden / "first_order.pth.tar")
    assert old.state.keys() == new.state.keys()
    assert all(torch.equal(old.state[name], new.state[name]) for name in new.state)


def test_missing_counters_discriminator_and_wrappers_are_fine(stored: dict[str, Any], tmp_path: Path) -> None:
    trimmed = {
        part: {f"module.{k}": v for k, v in stored[part].items() if not k.endswith("num_batches_tracked")}
        for part in ("generator", "kp_detector")
    }
    read = read_published(save(tmp_path / "trimmed.pth.tar", trimmed))
    assert read.filled == 21
    assert read.discriminator is None
    assert "model.discriminator.kp_variance" not in read.assumed
    assert read.epoch is None


def test_half_precision_checkpoints_become_float32(stored: dict[str, Any], tmp_path: Path) -> None:
    halved = {
        part: {key: value.half() if value.is_floating_point() else value for key, value in stored[part].items()}
        for part in ("generator", "kp_detector", "discriminator")
    }
    read = read_published(save(tmp_path / "half.pth.tar", halved))
    assert {value.dtype for value in read.state.values()} == {torch.float32, torch.int64}


def test_upstream_yaml_preset_and_set_override(golden: Path, tmp_path: Path) -> None:
    upstream = tmp_path / "upstream.yaml"
    upstream.write_text(
        yaml.safe_dump({"model_params": json.loads((golden / "configs.json").read_text())["two_scale"]})
    )
    read = read_published(golden / "two_scale.pth.tar", upstream, ["model.align_corners=false"])
    assert read.assumed == {}
    assert read.config.model.generator.max_features == 32
    assert not read.config.model.align_corners
    message = refusal(golden / "first_order.pth.tar", config=upstream)
    assert "model.detector.scale_factor" in message  # 0.5 in the file given, 0.25 in the checkpoint
    assert "missing" in refusal(golden / "first_order.pth.tar", config="vox-256")
    read = read_published(golden / "first_order.pth.tar", overrides=["model.detector.pad=3"])
    assert read.config.model.detector.pad == 3
    assert "model.detector.pad" not in read.assumed
    assert "There is no key model.detector.pat" in refusal(
        golden / "first_order.pth.tar", overrides=["model.detector.pat=3"]
    )


def test_every_key_is_accounted_for(stored: dict[str, Any], tmp_path: Path) -> None:
    extra = {**stored, "generator": stored["generator"] | {f"style.{i}.weight": torch.zeros(2) for i in range(13)}}
    message = refusal(save(tmp_path / "extra.pth.tar", extra))
    assert "13 unexpected: generator.style.0.weight" in message
    assert message.count("style") == 10
    assert "and 3 more" in message
    lacking = {**stored, "generator": {k: v for k, v in stored["generator"].items() if k != "final.bias"}}
    assert "1 missing: generator.final.bias" in refusal(save(tmp_path / "lacking.pth.tar", lacking))
    bent = {**stored, "generator": stored["generator"] | {"final.bias": torch.zeros(4)}}
    assert "generator.final.bias [4] instead of [3]" in refusal(save(tmp_path / "bent.pth.tar", bent))


def test_other_models_are_named_as_such(stored: dict[str, Any], tmp_path: Path) -> None:
    assert "no generator and no kp_detector" in refusal(save(tmp_path / "other.pth", {"state_dict": {}}))
    assert "holds a list" in refusal(save(tmp_path / "list.pth", [torch.zeros(1)]))
    assert "not a dict of named tensors" in refusal(save(tmp_path / "odd.pth", {**stored, "generator": {"a": 1}}))
    assert "kp.weight is missing" in refusal(
        save(
            tmp_path / "k.pth",
            {**stored, "kp_detector": {k: v for k, v in stored["kp_detector"].items() if k[:3] != "kp."}},
        )
    )
    wide = {**stored["kp_detector"], "jacobian.weight": torch.zeros(7, 11, 7, 7)}
    assert "jacobian has 7 maps" in refusal(save(tmp_path / "j.pth", {**stored, "kp_detector": wide}))


def test_broken_numbers_are_refused(stored: dict[str, Any], tmp_path: Path) -> None:
    broken = {**stored, "generator": stored["generator"] | {"final.bias": torch.tensor([0.0, float("nan"), 0.0])}}
    assert "NaN" in refusal(save(tmp_path / "nan.pth.tar", broken))


class _Hostile:
    """Unpickled without care, this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_never_runs(tmp_path: Path, zipped: bool) -> None:
    trap = tmp_path / "trap"
    file = save(tmp_path / "evil.pth.tar", {"generator": _Hostile(trap)}, _use_new_zipfile_serialization=zipped)
    message = refusal(file)
    assert "could run code" in message
    assert "system" in message
    assert "source you trust" in message
    assert not trap.exists()


def test_what_is_found_in_place_of_a_checkpoint(golden: Path, tmp_path: Path) -> None:
    whole = (golden / "first_order.pth.tar").read_bytes()

    def content(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 750000000\n"
    assert "Git-LFS pointer" in refusal(content("lfs.pth.tar", pointer))
    assert "web page" in refusal(content("quota.pth.tar", b"<!DOCTYPE html><html>Quota exceeded</html>"))
    assert "truncated" in refusal(content("cut.pth.tar", whole[: len(whole) // 2]))
    assert "empty" in refusal(content("empty.pth.tar", b""))
    assert "does not exist" in refusal(tmp_path / "gone.pth.tar")
    assert "no torch checkpoint" in refusal(content("note.pth.tar", b"hello, I am a text"))
    assert "gzip archive" in refusal(content("packed.pth.tar", b"\x1f\x8b\x08\x00rest"))


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_truncated_old_pickles(stored: dict[str, Any], tmp_path: Path, kept: float) -> None:
    file = save(tmp_path / "old.pth.tar", stored, _use_new_zipfile_serialization=False)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    assert "truncated" in refusal(file)


def test_unpacked_and_repacked_archives(golden: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(golden / "first_order.pth.tar") as archive:
        archive.extractall(tmp_path / "vox-cpk.pth")
        records = {name: archive.read(name) for name in archive.namelist()}
    assert "do not unpack it" in refusal(tmp_path / "vox-cpk.pth")
    repacked = tmp_path / "repacked.pth.tar"
    with zipfile.ZipFile(repacked, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    assert "do not unpack it" in refusal(repacked)
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(golden / "first_order.pth.tar", "checkpoints/vox-cpk.pth.tar")
    assert "Unpack it and use vox-cpk.pth.tar" in refusal(outer)
    real_tar = tmp_path / "real.pth.tar"
    with tarfile.open(real_tar, "w") as archive:
        info = tarfile.TarInfo("vox-cpk.pth.tar")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    assert "real tar archive" in refusal(real_tar)


def test_training_starts_from_a_published_checkpoint(golden: Path) -> None:
    start = init_from(golden / "kp_discriminator.pth.tar")
    assert start.discriminator is not None
    assert start.config.model.discriminator.use_kp
    assert start.assumed["model.align_corners"] is True
    shapes = expected_shapes(start.config)
    assert {name: tuple(value.shape) for name, value in start.model.items()} == shapes


def test_the_command_prints_what_it_assumed(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.safetensors"
    source = str(golden / "first_order.pth.tar")
    assert main(["weights", "convert", source, "-o", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "model.align_corners = yes" in out
    assert "data.frame_shape = [256, 256]" in out
    assert "--set" in err
    assert main(["weights", "convert", source, "-o", str(file)]) == 1  # not over an existing file
    again = ["weights", "convert", source, "-o", str(file), "--force", "--store", "float16"]
    again += ["--no-align-corners", "--json"]
    capsys.readouterr()
    assert main([*again, "--set", "data.frame_shape=64"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["config"]["model"]["align_corners"] is False
    assert "model.align_corners" not in facts["assumed"]
    assert facts["epoch"] == 99
    assert load_model(file, "cpu").size == (64, 64)
    assert main(["weights", "convert", source, "-o", str(tmp_path / "out.pth")]) == 1


def test_info_reads_checkpoints_too(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "info", str(golden / "single_jacobian.pth.tar"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"].startswith("published checkpoint")
    assert facts["config"]["model"]["detector"]["single_jacobian_map"] is True
    assert facts["assumed"]["model.detector.temperature"] == 0.1

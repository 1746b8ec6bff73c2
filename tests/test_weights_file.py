"""A weights file is self-sufficient, survives the round trip, and is not trusted."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fomm_cli import load_model as front_door
from fomm_cli.commands.app import main
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.weights import stored
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT
from fomm_cli.weights.file import save_weights
from fomm_cli.weights.header import read_header
from fomm_cli.weights.identity import of_file, of_model
from fomm_cli.weights.load import init_from, load_model, read_config
from tests.golden import golden_config, golden_discriminator, golden_model


@pytest.fixture(scope="module")
def config(golden: Path) -> Config:
    return golden_config(golden, "first_order")


@pytest.fixture(scope="module")
def model(golden: Path) -> FirstOrderModel:
    return golden_model(golden, "first_order")


@pytest.fixture
def file(model: FirstOrderModel, config: Config, tmp_path: Path) -> Path:
    return save_weights(tmp_path / "tiny.safetensors", model, config, provenance={"steps": 7, "data": "toon"})


def tampered(file: Path, tensors: dict[str, Any] | None = None, **metadata: str | None) -> Path:
    """A copy of `file` with other tensors or metadata (`fomm_config` stands for fomm.config, None removes)."""
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as opened:
        kept = dict(opened.metadata())
    for key, value in metadata.items():
        name = key.replace("_", ".")
        if value is None:
            kept.pop(name)
        else:
            kept[name] = value
    copy = file.with_name("tampered.safetensors")
    save_file(load_file(file) if tensors is None else tensors, copy, kept)
    return copy


def changed_config(file: Path, **model: Any) -> str:
    """The file's config as JSON with other values in its model section."""
    tree = read_config(file).model_dump(mode="json")
    for key, value in model.items():
        section, _, leaf = key.partition("__")
        if leaf:
            tree["model"][section][leaf] = value
        else:
            tree["model"][section] = value
    return json.dumps(tree)


def refusal(path: Path) -> str:
    with pytest.raises(FommError) as caught:
        load_model(path, "cpu")
    return str(caught.value)


def test_a_round_trip_changes_nothing(file: Path, model: FirstOrderModel, config: Config) -> None:
    loaded = front_door(file, device="cpu")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert loaded.config == config.model
    assert loaded.size == (64, 64)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert read_config(file) == config
    assert read_header(file).provenance == {"steps": 7, "data": "toon"}


def test_loading_leaves_random_numbers_alone(file: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_model(file, "cpu")
    assert torch.equal(torch.rand(2), expected)


def test_half_storage_halves_the_file_and_loads_as_float32(file: Path, model: FirstOrderModel, config: Config) -> None:
    half = save_weights(file.with_name("half.safetensors"), model, config, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * file.stat().st_size
    header = read_header(half)
    assert list(header.dtypes()) == ["F16", "F32"]
    assert header.tensors["generator.first.norm.running_var"][0] == "F32"
    assert header.parameters() == read_header(file).parameters()
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    loaded = load_model(half, "cpu")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.detect(image).value, model.detect(image).value, atol=2e-3, rtol=0)


def test_eight_bits_quarter_the_file_and_load_as_float32(
    file: Path, model: FirstOrderModel, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LEAST", 64)  # the kernels of a tiny network are tiny
    small = save_weights(file.with_name("small.safetensors"), model, config, dtype=torch.int8)
    assert small.stat().st_size < 0.4 * file.stat().st_size
    header = read_header(small)
    assert list(header.dtypes()) == ["I8", "F32"]
    assert header.parameters() == read_header(file).parameters(), "scales are no numbers of the network"
    loaded = load_model(small, "cpu")
    for name, value in model.state_dict().items():
        if header.tensors[name][0] == "I8":
            step = value.flatten(1).abs().amax(1) / 127
            error = (loaded.state_dict()[name] - value).flatten(1).abs().amax(1)
            assert torch.all(error <= step * 0.501), name
        else:
            assert torch.equal(loaded.state_dict()[name], value), name
    assert of_file(small) == of_model(loaded), "without torch the same numbers are read"
    again = save_weights(file.with_name("again.safetensors"), loaded, config, dtype=torch.int8)
    ours, theirs = load_file(small), load_file(again)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items() if value.dtype is torch.int8)


@pytest.mark.parametrize("scale", [None, torch.ones(3), torch.ones(8, dtype=torch.float64)])
def test_eight_bits_without_their_scales_are_refused(file: Path, scale: torch.Tensor | None) -> None:
    name = "generator.first.conv.weight"
    tensors = load_file(file)
    tensors[name] = (tensors[name] * 10).to(torch.int8)
    if scale is not None:
        tensors[f"{name}.scale"] = scale
    assert "no weight of a model" in refusal(tampered(file, tensors, fomm_format="2"))


def test_values_too_large_for_half_are_refused(model: FirstOrderModel, config: Config, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    state["generator.final.weight"] = state["generator.final.weight"] + 1e6
    with pytest.raises(FommError, match="too large"):
        save_weights(tmp_path / "x.safetensors", state, config, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_the_discriminator_travels_along(golden: Path, tmp_path: Path) -> None:
    for variant in ("first_order", "kp_discriminator"):  # with and without spectral norm
        path = tmp_path / f"{variant}.safetensors"
        judge = golden_discriminator(golden, variant)
        save_weights(path, golden_model(golden, variant), golden_config(golden, variant), discriminator=judge)
        start = init_from(path)
        assert start.discriminator is not None
        assert all(torch.equal(value, start.discriminator[name]) for name, value in judge.state_dict().items())
        assert start.assumed == {}
        judge.load_state_dict(start.discriminator)
        load_model(path, "cpu")
    assert read_header(path).parts == ["keypoint_detector", "dense_motion", "generator", "discriminator"]


def test_an_existing_file_is_kept_without_force(file: Path, model: FirstOrderModel, config: Config) -> None:
    before = file.read_bytes()
    with pytest.raises(FommError, match="exists already"):
        save_weights(file, model, config)
    assert file.read_bytes() == before
    save_weights(file, model, config, force=True)
    assert file.read_bytes() != before


def test_what_is_found_in_place_of_weights(file: Path, golden: Path, tmp_path: Path) -> None:
    def content(data: bytes) -> Path:
        (tmp_path / "x.safetensors").write_bytes(data)
        return tmp_path / "x.safetensors"

    whole = file.read_bytes()
    assert "Git-LFS pointer" in refusal(content(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"))
    assert "web page" in refusal(content(b"<html><title>Sign in</title></html>"))
    for kept in (4, 200, len(whole) // 2, len(whole) - 1):
        assert "truncated" in refusal(content(whole[:kept]))
    assert "truncated" in refusal(content(struct.pack("<Q", 1 << 62) + b"{}"))  # a header longer than any memory
    assert "torch checkpoint" in refusal(content((golden / "first_order.pth.tar").read_bytes()))
    assert "fomm weights convert" in refusal(golden / "first_order.pth.tar")
    assert "is a folder" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "gone.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    assert "carries no config" in refusal(tmp_path / "foreign.safetensors")


def test_metadata_is_not_trusted(file: Path) -> None:
    assert "carries no config" in refusal(tampered(file, fomm_config=None))
    assert "Upgrade fomm" in refusal(tampered(file, fomm_format="3"))
    assert "not JSON" in refusal(tampered(file, fomm_config="{"))
    assert "not a JSON object" in refusal(tampered(file, fomm_config="[]"))
    assert "not JSON" in refusal(tampered(file, fomm_provenance="[" * 100_000))
    assert "no key model.colour" in refusal(tampered(file, fomm_config=changed_config(file, colour=1)))


@pytest.mark.parametrize(
    "change",
    [
        {"detector__num_blocks": 10**9},
        {"generator__num_bottleneck_blocks": 10**7},
        {"dense_motion__block_expansion": 10**12},
        {"detector__scale_factor": 1e-7},
        {"detector__scale_factor": 0.3},
        {"detector__pad": 10**9},
        {"num_kp": 10**9},
        {"discriminator__num_blocks": 10**9},
    ],
)
def test_a_config_out_of_proportion_is_refused_at_once(file: Path, change: dict[str, Any]) -> None:
    assert "config" in refusal(tampered(file, fomm_config=changed_config(file, **change)))


def test_tensors_must_be_those_of_the_config(file: Path) -> None:
    tensors = load_file(file)
    lacking = {name: value for name, value in tensors.items() if name != "generator.final.bias"}
    assert "1 missing: generator.final.bias" in refusal(tampered(file, lacking))
    assert "1 unexpected: generator.more" in refusal(tampered(file, tensors | {"generator.more": torch.zeros(1)}))
    assert "no weight of a model" in refusal(tampered(file, tensors | {"payload": torch.zeros(1)}))
    bent = tensors | {"generator.final.bias": torch.zeros(5)}
    assert "generator.final.bias [5] instead of [3]" in refusal(tampered(file, bent))
    assert "other" in refusal(tampered(file, fomm_config=changed_config(file, num_kp=6)))


def test_info_tells_everything(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "info", str(file)]) == 0
    out = capsys.readouterr().out
    assert "num_kp 5" in out
    assert "steps" in out
    assert main(["weights", "info", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["provenance"] == {"steps": 7, "data": "toon"}
    assert facts["bytes"] == file.stat().st_size
    assert len(facts["sha256"]) == 64
    assert facts["parameters"]["in total"] == sum(
        value.numel() for value in load_file(file).values() if value.is_floating_point()
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vox-265", ["Did you mean 'vox-256'?", "fomm weights list"]),
        ("zebra", [f"Known: {DEFAULT}"]),
        ("https://example.org/w.safetensors", ["Download the file"]),
        ("someone/toons", ["hf://someone/toons"]),
        ("folder/vox-256.safetensors", ["does not exist", "The name vox-256"]),
        ("bair-256", ["not on this machine yet", "fomm weights fetch bair-256"]),
    ],
)
def test_unknown_names_are_answered_with_what_would_do(
    name: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path))
    assert main(["weights", "info", name]) == 1
    error = capsys.readouterr().err
    for word in words:
        assert word in error


def test_a_fetched_name_loads_like_any_file(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "cache"))
    target = CATALOGUE["bair-256"].path
    target.parent.mkdir(parents=True)
    target.write_bytes(file.read_bytes())
    assert load_model("bair-256", "cpu").size == (64, 64)

"""LivePortrait's five files in: both releases, from disk and from a Hub, every key and shape accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fomm_cli.commands.app import main
from fomm_cli.errors import FommError
from fomm_cli.model.live_portrait import published
from fomm_cli.weights.convert import convert, read_published
from fomm_cli.weights.load import load_model
from tests import live_portrait as lp
from tests.hub_server import Hub, HubServer
from tests.test_weights_hub import run


@pytest.fixture
def hub() -> Iterator[Hub]:
    with HubServer() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The tiny networks' config as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(lp.config().to_yaml())
    return path


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_both_releases_become_one_file(kind: str, settings: Path, tmp_path: Path) -> None:
    folder = lp.write_release(tmp_path / "release", kind)
    done = convert(folder, tmp_path / "tiny.safetensors", settings)
    assert not done.dropped
    model = load_model(tmp_path / "tiny.safetensors", "cpu")
    assert model.family.name == "live_portrait"
    for name, value in lp.model().state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-6)


def test_half_precision_and_missing_counters_are_taken(settings: Path, tmp_path: Path) -> None:
    folder = lp.write_release(tmp_path / "release", "safetensors")
    for path in folder.iterdir():
        tensors = {key: value for key, value in load_file(path).items() if not key.endswith("num_batches_tracked")}
        save_file({key: value.half() for key, value in tensors.items()}, path)
    done = convert(folder, tmp_path / "tiny.safetensors", settings)
    assert done.filled > 10
    assert all(value.dtype == torch.float32 for value in done.state.values() if value.is_floating_point())


def test_a_mismatch_names_the_first_keys(settings: Path, tmp_path: Path) -> None:
    folder = lp.write_release(tmp_path / "release", "safetensors")
    with pytest.raises(FommError, match=r"shape: appearance\.first\.conv\.weight \[16, 3, 3, 3\] instead of"):
        read_published(folder)
    path = folder / "spade_generator.safetensors"
    tensors = load_file(path)
    tensors["fc.scales"] = tensors.pop("fc.bias")
    save_file(tensors, path)
    with pytest.raises(FommError, match=r"1 missing: generator\.fc\.bias; 1 unexpected: generator\.fc\.scales"):
        read_published(folder, settings)


def test_a_folder_without_all_five_is_no_checkpoint(tmp_path: Path) -> None:
    folder = lp.write_release(tmp_path / "release", "safetensors")
    (folder / "motion_extractor.safetensors").unlink()
    with pytest.raises(FommError, match="is a folder, not a checkpoint"):
        read_published(folder)


def test_pickled_motion_is_refused(tmp_path: Path) -> None:
    import pickle

    motion = tmp_path / "driving.pkl"
    motion.write_bytes(pickle.dumps({"n_frames": 1, "motion": []}))
    assert main(["weights", "convert", str(motion), "-o", str(tmp_path / "x.safetensors")]) == 1
    folder = lp.write_release(tmp_path / "release", "pth")
    base = folder / "liveportrait" / "base_models" / "motion_extractor.pth"
    base.write_bytes(pickle.dumps(Path("/etc/passwd")))
    with pytest.raises(FommError, match=r"motion_extractor\.pth"):
        read_published(folder)


FETCH = """
import dataclasses, sys
from fomm_cli.weights.catalogue import CATALOGUE
CATALOGUE["live-portrait"] = dataclasses.replace(CATALOGUE["live-portrait"], preset=sys.argv[1])
from fomm_cli.commands.app import main
raise SystemExit(main(["weights", "fetch", "live-portrait", "--json"]))
"""


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_several_files_of_the_hub_are_one_entry(
    kind: str, hub: Hub, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lp.write_release(tmp_path / "release", kind)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.add("Kijai/LivePortrait_safetensors" if kind == "safetensors" else "KlingTeam/LivePortrait", files)
    environment = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "hf"),
        "FOMM_CACHE": str(tmp_path / "cache"),
        "NO_PROXY": "*",
        "PATH": "/usr/bin",
    }
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(settings)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Licence of the weights: MIT" in done.stderr
    told = json.loads(done.stdout)
    assert load_model(told["path"], "cpu").family.name == "live_portrait"
    assert len(hub.asked("GET", "/store/")) == len(published.FILES)
    if kind == "pth":
        assert any("Kijai" in failed for failed in told["failed"])


def test_what_arrives_in_another_shape_is_refused_by_name(hub: Hub, tmp_path: Path) -> None:
    folder = lp.write_release(tmp_path / "release", "safetensors")
    hub.add("Kijai/LivePortrait_safetensors", {path.name: path.read_bytes() for path in folder.iterdir()})
    ran = run(hub, tmp_path, "weights", "fetch", "live-portrait")
    assert ran.code == 1
    said = " ".join(ran.err.split())
    assert "appearance.first.conv.weight [16, 3, 3, 3] instead of [64, 3, 3, 3]" in said
    assert "Traceback" not in ran.err


@pytest.mark.full
def test_the_published_layout_is_fetched_and_loaded(hub: Hub, tmp_path: Path) -> None:
    """The recipe's weights in every published key and shape, from a Hub to a picture."""
    folder = lp.write_release(tmp_path / "release", "safetensors", "full")
    hub.add("Kijai/LivePortrait_safetensors", {path.name: path.read_bytes() for path in folder.iterdir()})
    ran = run(hub, tmp_path, "weights", "fetch", "live-portrait", "--json")
    assert ran.code == 0, ran.err
    assert ran.path.stat().st_size / 1e6 == pytest.approx(520, abs=1)
    model = load_model(ran.path, "cpu")
    for name, value in lp.model("full").state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-6)


def test_training_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "live-portrait", "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "LivePortrait is here to animate, not to be trained" in said
    assert not (tmp_path / "runs").exists()

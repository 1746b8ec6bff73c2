"""`fomm doctor` tells what is here and what is missing, and `fomm demo` writes its two clips."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fomm_cli.commands import doctor
from fomm_cli.commands.app import main
from fomm_cli.media.video import probe
from tests.engines import GreyEngine


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation with nothing wrong in it but what a test breaks."""
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(doctor.LOOKS, "weights", lambda: [doctor.Finding("weights", "ok", "toon-128, bundled")])


def found(name: str) -> list[doctor.Finding]:
    return [finding for finding in doctor.examine() if finding.name == name]


@pytest.mark.usefixtures("whole")
def test_a_whole_installation_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("fomm", "python", "torch", "device", "PyAV", "ffmpeg", "yt-dlp", "javascript", "cache", "[onnx]"):
        assert word in shown
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"]
    assert {finding["state"] for finding in document["findings"]} <= {"ok", "missing", "warning"}
    for finding in document["findings"]:
        assert finding["state"] == "ok" or finding["fix"], "whatever is not well comes with what to do"


@pytest.mark.usefixtures("whole")
def test_a_missing_extra_is_no_failure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"onnx": [("no_such_module", "onnxruntime")]})
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "without onnxruntime" in shown
    assert 'pip install "fomm-cli[onnx]"' in shown


@pytest.mark.usefixtures("whole")
def test_what_is_needed_and_broken_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CODECS", ["no-such-encoder"])
    assert main(["doctor"]) == 1
    assert "without no-such-encoder" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "av", None)
    assert [finding.state for finding in found("av")] == ["broken"]
    assert found("av")[0].fix == "pip install -U av"


def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from fomm_cli import device

    monkeypatch.setattr(device, "gpu_hardware", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    warned = device.warning(device.resolve("auto"))
    assert warned is not None
    assert "has an NVIDIA GPU, but the CPU does the work" in warned
    assert found("device")[0].state == "warning"
    monkeypatch.setattr(device, "gpu_hardware", lambda: False)
    assert device.warning(device.resolve("auto")) is None


def test_javascript_runtime_and_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found("javascript")[0].state == "missing"
    assert "deno.land" in found("javascript")[0].fix
    deno = tmp_path / "deno"
    deno.write_text("#!/bin/sh\n")
    deno.chmod(0o755)
    assert (found("javascript")[0].state, str(deno) in found("javascript")[0].found) == ("ok", True)


def test_an_unwritable_cache_and_missing_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fomm_cli.files import disk

    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert found("cache")[0].state == "broken"
    assert "FOMM_CACHE" in found("cache")[0].fix
    monkeypatch.setattr(disk, "ASSETS", tmp_path)
    assert [finding.state for finding in found("weights")][:1] == ["broken"]


def test_the_demo_renders_once_and_writes_two_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fomm_cli.commands import animate

    monkeypatch.chdir(tmp_path)
    engine = GreyEngine((64, 64), batch=16)
    monkeypatch.setattr(animate, "opened", lambda *given: engine)
    assert main(["demo"]) == 0
    paths = capsys.readouterr().out.split()
    assert paths == [str(Path("demo") / "result.mp4"), str(Path("demo") / "side-by-side.mp4")]
    count = probe(paths[0]).frames
    assert count == probe(paths[1]).frames
    assert (probe(paths[0]).width, probe(paths[1]).width) == (64, 192)
    assert sum(frames for what, frames in engine.calls if what == "render") == count
    assert main(["demo"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["demo", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == count

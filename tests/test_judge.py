"""What a validation measures: LPIPS and AKD where their networks are, a line where not. Nothing is fetched."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fomm_cli.commands.app import main
from fomm_cli.detectors import choice
from fomm_cli.detectors.choice import Chosen
from fomm_cli.errors import FommError
from fomm_cli.evaluate.lpips import ALEXNET
from fomm_cli.train.judge import judge
from fomm_cli.train.run import Options, Run
from tests.training import tiny_clips, tiny_file

CPU = torch.device("cpu")
SHAPE = (32, 32)


class BrightestPoint:
    """Stands for a landmark network: where the frame is brightest; sees nothing in a dark one."""

    name, digest = "brightest", "0"

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        grey = frame.sum(axis=2)
        row, column = np.unravel_index(int(grey.argmax()), grey.shape)
        return np.array([[column, row]], dtype=np.float64) if grey.max() > 0 else None


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no way to the network."""

    def unreachable(*_: object) -> None:
        raise AssertionError("a validation downloads nothing")

    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fomm_cli.files.download.fetch", unreachable)
    return tmp_path / "cache"


@pytest.fixture
def stand_ins(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AlexNet with random weights in the cache, and a suite that needs no network."""
    from torchvision.models import alexnet

    ALEXNET.cached.parent.mkdir(parents=True)
    torch.save({k: v for k, v in alexnet(weights=None).state_dict().items() if "features" in k}, ALEXNET.cached)
    suite = replace(
        choice.SUITES["face"], networks=(), package="json", build=lambda files, device: Chosen(BrightestPoint(), None)
    )
    monkeypatch.setitem(choice.SUITES, "face", suite)


def test_what_is_not_here_is_left_out_with_one_line() -> None:
    found = judge(Options(data=""), SHAPE, CPU)
    assert found.names == ("l1", "psnr")
    assert not found.observers
    assert "\n" not in found.left_out
    assert found.left_out.startswith(
        "Validation leaves out LPIPS (AlexNet's weights are not here) and AKD (face-landmarks "
    )


def test_packages_and_sizes_that_lack_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fomm_cli.train.judge.available", lambda suite: False)
    assert "AKD (onnxruntime is not installed)" in judge(Options(data=""), SHAPE, CPU).left_out
    monkeypatch.setitem(sys.modules, "lpips", None)
    small = judge(Options(data="", validate_metrics="lpips,ssim,fid"), (8, 8), CPU)
    assert small.names == ("l1",)
    for words in ("SSIM (needs frames of 11 px)", "LPIPS (needs frames of 32 px)", "FID (needs whole clips)"):
        assert words in small.left_out


@pytest.mark.parametrize(
    ("options", "said"),
    [(Options(data="", validate_metrics="lpisp"), "no metric 'lpisp'"), (Options(data="", detectors="fce"), "'fce'")],
)
def test_what_there_is_not_is_refused(options: Options, said: str) -> None:
    with pytest.raises(FommError, match=said):
        judge(options, SHAPE, CPU)


def test_a_damaged_network_is_said_with_a_way_out(cache: Path) -> None:
    ALEXNET.cached.parent.mkdir(parents=True)
    ALEXNET.cached.write_bytes(b"no weights")
    with pytest.raises(FommError, match="AlexNet") as caught:
        judge(Options(data=""), SHAPE, CPU)
    assert "--validate-metrics l1,psnr" in caught.value.hint


@pytest.mark.usefixtures("stand_ins")
def test_lpips_and_akd_in_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_clips(tmp_path / "data", side=32)
    words = ["train", str(tiny_file(tmp_path / "tiny.yaml")), "--data", str(tmp_path / "data"), "--workers", "0"]
    words += ["--runs", str(tmp_path / "runs"), "--device", "cpu", "--set", "data.frame_shape=[32,32]"]
    assert main([*words, "--steps", "5"]) == 0
    run = Run(tmp_path / "runs" / "00001-tiny")
    found = json.loads(run.validation.read_text())
    assert found["lpips"] > 0
    assert found["akd"] > 0
    errors = capsys.readouterr().err
    assert f"LPIPS {found['lpips']:.4f}, AKD {found['akd']:.3f} px at 256" in errors
    assert "leaves out" not in errors
    assert main([*words, "--validate-metrics", "psnr", "--steps", "5"]) == 0
    less = json.loads(Run(tmp_path / "runs" / "00002-tiny").validation.read_text())
    assert less.keys() == {"step", "epoch", "frames", "l1", "psnr", "copy_l1"}
    assert (less["l1"], less["psnr"]) == (found["l1"], found["psnr"])  # measuring more changes nothing

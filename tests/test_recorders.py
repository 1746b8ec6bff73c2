"""TensorBoard and Weights & Biases hear of every step and validation; the latter here as a module that takes notes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fomm_cli.commands.app import main
from fomm_cli.train.run import Run
from tests.training import tiny_clips, tiny_file


class Notes(SimpleNamespace):
    """As much of the package as is used."""

    def __init__(self) -> None:
        super().__init__(begun=[], told=[], ended=0)

    def init(self, **settings: Any) -> Notes:
        self.begun.append(settings)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.told.append((step, values))

    def finish(self) -> None:
        self.ended += 1

    @staticmethod
    def Image(picture: np.ndarray) -> np.ndarray:  # noqa: N802
        assert picture.dtype == np.uint8
        return picture


def command(place: Path, *more: str) -> list[str]:
    tiny_clips(place / "data")
    words = ["train", str(tiny_file(place / "tiny.yaml")), "--data", str(place / "data"), "--runs", str(place / "runs")]
    return [*words, "--workers", "0", "--device", "cpu", "--log-every", "2", *more]


def test_wandb_hears_of_steps_and_validations_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    monkeypatch.setitem(sys.modules, "wandb", notes)
    assert main(command(tmp_path, "--logger", "wandb", "--steps", "5")) == 0
    run = Run(tmp_path / "runs" / "00001-tiny")
    assert main(["resume", str(run.folder), "--steps", "7"]) == 0
    first, second = notes.begun
    assert first["id"] == second["id"] != ""
    assert first["name"] == "00001-tiny"
    assert first["resume"] == "allow"
    assert first["config"] == run.read_config().model_dump(mode="json")
    assert notes.ended == 2
    steps = [step for step, values in notes.told if "loss" in values]
    assert steps == [1, 2, 3, 4, 5, 6, 7]
    told = {name: value for _, values in notes.told for name, value in values.items()}
    assert told["validation/l1"] > 0
    assert told["validation/samples"].shape[2] == 3
    assert {"lr_generator", "keypoint_spread", "grad_norm_generator", "validation/psnr"} <= told.keys()


def test_without_its_package_a_logger_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(command(tmp_path, "--logger", "wandb")) == 1
    assert "pip install 'fomm-cli[wandb]'" in capsys.readouterr().err
    assert not list((tmp_path / "runs").iterdir())


def test_tensorboard_holds_steps_validations_sheets_and_config(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main(command(tmp_path, "--tensorboard", "--steps", "5")) == 0
    run = Run(tmp_path / "runs" / "00001-tiny")
    events = EventAccumulator(str(run.folder / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    assert [one.step for one in events.Scalars("loss")] == [1, 2, 3, 4, 5]
    assert [one.step for one in events.Scalars("validation/l1")] == [5]
    (sheet,) = events.Images("validation/samples")
    assert sheet.step == 5
    assert sheet.width > 8 * 16
    (config,) = events.Tensors("config/text_summary")
    assert b"equivariance_value: 10.0" in config.tensor_proto.string_val[0]

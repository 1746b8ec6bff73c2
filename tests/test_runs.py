"""`fomm runs` and `fomm bench train`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli import chart, load_model
from fomm_cli.commands.app import main
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.train import review
from fomm_cli.train.run import Options, Run, create, everything, find
from tests.training import tiny_clips, tiny_file


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: one finished, one stopped after 4 steps."""
    place = tmp_path_factory.mktemp("runs")
    tiny_clips(place / "data")
    words = ["train", str(tiny_file(place / "tiny.yaml")), "--data", str(place / "data"), "--runs", str(place / "runs")]
    words += ["--workers", "0", "--device", "cpu"]
    assert main(words) == 0
    assert main([*words, "--steps", "4"]) == 0
    return place / "runs"


def test_list(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--runs", str(runs)]) == 0
    text = capsys.readouterr().out
    assert "00001-tiny" in text
    assert "finished" in text
    assert main(["runs", "list", "--runs", str(runs), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["state"], first["step"], first["epoch"], first["epochs"]) == ("finished", 15, 3, 3)
    assert (second["state"], second["step"], second["validation"]) == ("stopped", 4, None)
    assert 0 < first["best_l1"] <= first["validation"]["l1"]


def test_list_of_nothing_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--runs", str(tmp_path / "none")]) == 0
    assert "no runs" in capsys.readouterr().err


def test_list_shows_the_others_where_one_cannot_be_read(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = runs / "00003-broken"
    broken.mkdir()
    (broken / "config.yaml").write_text("train: {learning: 1}\n")
    try:
        assert main(["runs", "list", "--runs", str(runs), "--json"]) == 0
    finally:
        shutil.rmtree(broken)
    said = capsys.readouterr()
    assert [one["run"] for one in json.loads(said.out)] == ["00001-tiny", "00002-tiny"]
    assert "00003-broken cannot be read" in said.err


def test_show(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", "1", "--runs", str(runs)]) == 0
    text = capsys.readouterr().out
    assert "keypoint_spread" in text
    assert "perceptual_weights" in text
    assert main(["runs", "show", "last", "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last_step"]["step"] == 4


def test_plot(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "curves.png"
    words = ["runs", "plot", "1", "2", "--runs", str(runs), "-o", str(picture), "--window", "2"]
    assert main(words) == 0
    with Image.open(picture) as image:
        colours = image.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 50
    assert main(words) == 1  # it exists
    assert main([*words, "--force", "--key", "loss", "--key", "validation.l1"]) == 0
    capsys.readouterr()
    assert main([*words, "--force", "--key", "los"]) == 1
    assert "There are: loss" in capsys.readouterr().err


def test_plot_puts_a_higher_value_higher() -> None:
    steps = np.arange(20.0)
    panel = np.asarray(chart.panel("x", [chart.Curve("a", steps, np.where(steps < 10, 0.0, 1.0))]))
    red, green, blue = chart._ink(0)
    rows, columns = np.nonzero((np.abs(panel.astype(int) - (red, green, blue)).sum(axis=2)) < 60)
    left, right = rows[columns < 200].mean(), rows[columns > 320].mean()
    assert right < left - 100  # rows count downwards


def test_windows_are_means_over_steps() -> None:
    series = np.stack([np.arange(1.0, 8.0), np.arange(10.0, 17.0)], axis=1)
    steps, values = review.windowed(series, 3)
    assert steps.tolist() == [2, 5, 7]
    assert values.tolist() == [11, 14, 16]


@pytest.mark.parametrize("more", [[], ["--best"], ["--store", "float16"], ["--store", "int8"]])
def test_export(runs: Path, tmp_path: Path, more: list[str]) -> None:
    path = tmp_path / "out.safetensors"
    assert main(["runs", "export", "1", "--runs", str(runs), "-o", str(path), *more]) == 0
    assert load_model(path, device="cpu").size == (16, 16)


def test_export_without_a_checkpoint_is_explained(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "export", "2", "--runs", str(runs), "-o", str(runs / "x.safetensors"), "--best"]) == 1
    assert "no checkpoint" in capsys.readouterr().err


def test_find(runs: Path) -> None:
    assert [run.folder.name for run in everything(runs)] == ["00001-tiny", "00002-tiny"]
    for name in ("1", "00001-tiny", str(runs / "00001-tiny")):
        assert find(runs, name).folder.name == "00001-tiny"


def test_bench_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(tiny_file(tmp_path / "tiny.yaml"))
    assert main(["bench", "train", config, "--device", "cpu", "--steps", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [pace["precision"] for pace in found["paces"]] == ["fp32", "bf16"]
    slow, fast = (pace["seconds"] for pace in found["paces"])
    assert found["ratio"] == pytest.approx(slow / fast, rel=0.01)
    assert found["paces"][0]["pairs_per_second"] == pytest.approx(4 / slow, rel=0.01)
    assert main(["bench", "train", config, "--device", "cpu", "--steps", "1", "--precision", "fp32"]) == 0
    assert "ms/step" in capsys.readouterr().out
    assert main(["bench", "train", config, "--precision", "fp8"]) == 1


def test_two_runs_are_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "compare", "1", "2", "--runs", str(runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"] == found["options"] == {}
    assert found["step"] == 4  # which both have made
    assert found["at_step"]["loss"][0] == pytest.approx(found["at_step"]["loss"][1], rel=1e-3)
    assert found["validation"] == {}
    assert found["best"]["l1"][0] > 0
    assert found["best"]["l1"][1] is None


def test_runs_of_several_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_clips(tmp_path / "data")
    words = ["train", str(tiny_file(tmp_path / "tiny.yaml")), "--data", str(tmp_path / "data"), "--workers", "0"]
    words += ["--runs", str(tmp_path / "runs"), "--device", "cpu", "--steps", "5"]
    assert main([*words, "--seeds", "3,1"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(tmp_path / "runs" / name) for name in ("00001-tiny", "00002-tiny")]
    assert [run.read_options().seed for run in everything(tmp_path / "runs")] == [3, 1]
    each = [json.loads(run.validation.read_text())["l1"] for run in everything(tmp_path / "runs")]
    assert f"over 2 seeds: {sum(each) / 2:.4f}, standard deviation {abs(each[0] - each[1]) / 2**0.5:.4f}" in said.err
    assert main([*words, "--seeds", "3,x"]) == 2
    assert main(["runs", "compare", "1", "2", "--runs", str(tmp_path / "runs")]) == 0
    table = capsys.readouterr().out.splitlines()
    assert next(line for line in table if line.startswith("  seed")).split() == ["seed", "3", "1", "-2"]
    assert any(line.startswith("  l1") for line in table)


def test_a_seed_that_fails_does_not_take_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def carry_out(config: Config, options: Options, root: Path, *_: object) -> Run:
        if options.seed == 1:
            raise FommError("it diverged")
        return create(root, config, options)

    monkeypatch.setattr("fomm_cli.train.loop.train", carry_out)
    words = ["train", str(tiny_file(tmp_path / "tiny.yaml")), "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]
    assert main([*words, "--seeds", "0,1,2"]) == 1
    assert "Seed 1: it diverged" in capsys.readouterr().err
    assert [run.read_options().seed for run in everything(tmp_path / "runs")] == [0, 2]

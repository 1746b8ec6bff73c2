"""`fomm eval reconstruction` through its entry point, on tiny clips and a tiny network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomm_cli.config import reading as configs
from fomm_cli.data.clips import find_clip
from fomm_cli.evaluate.methods import Copy
from fomm_cli.evaluate.metrics import Measures
from fomm_cli.evaluate.observers import Observers
from fomm_cli.evaluate.records import Record
from fomm_cli.evaluate.setup import Setup
from fomm_cli.evaluate.tasks import Reconstruction
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.processes import World
from fomm_cli.weights.file import save_weights
from tests import processes
from tests.evaluation import SIDE, SMALL, Blob, Shifted, run, strip


def test_copy_baseline_is_what_numpy_says(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "eval", "reconstruction", "--data", clips, "--baseline", "copy", "--json")
    each = []
    for path in sorted((clips / "test").glob("*.png")):
        cells = np.stack(np.split(np.asarray(Image.open(path)), np.asarray(Image.open(path)).shape[1] // SIDE, axis=1))
        each.append(np.abs(cells / 255 - cells[:1] / 255).mean((1, 2, 3)))
    l1 = found["results"]["copy"]["l1"]
    assert l1["value"] == pytest.approx(np.concatenate(each).mean(), abs=1e-7)
    assert l1["per_video"]["value"] == pytest.approx(np.mean([one.mean() for one in each]), abs=1e-7)
    assert (l1["count"], l1["per_video"]["count"], found["clips"], found["frames"]) == (12, 3, 3, 12)
    assert l1["interval"][0] <= l1["value"] <= l1["interval"][1]
    assert found["results"]["copy"]["ssim"]["value"] < 1
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"]


def test_weights_and_baseline_share_a_table(clips: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--batch", "2"]
    found = run(capsys, *arguments, "--json")
    assert list(found["results"]) == ["copy", "tiny"]
    assert found["size"] == [SIDE, SIDE]
    assert len(found["methods"][1]["sha256"]) == 64
    assert found["paper"] is None
    again = run(capsys, *arguments[:-1], "5", "--json")["results"]["tiny"]["l1"]["value"]
    assert again == pytest.approx(found["results"]["tiny"]["l1"]["value"], abs=1e-6), "whatever the batch"
    shown = run(capsys, *arguments, "--paper", "vox")
    assert "0.043" in shown
    assert "tiny" in shown


def test_report_is_written_and_resumed(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    arguments = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--out", out, "--json"]
    first = run(capsys, *arguments)
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3, "best, median and worst"
    assert "anna#1" in page
    assert json.loads((out / "results.json").read_text()) == first
    stored = sorted((out / "clips").glob("*/*.json"))
    assert len(stored) == 3
    stored[0].unlink()
    stored[1].write_text("{")
    measured: list[str] = []
    real = Reconstruction.measure

    def counting(task: Reconstruction, item: Any, setup: Setup) -> Record:
        measured.append(item.name)
        return real(task, item, setup)

    monkeypatch.setattr(Reconstruction, "measure", counting)
    assert run(capsys, *arguments) == first
    assert len(measured) == 2, "the lost record and the broken one"
    error = run(capsys, *arguments, "--seed", "1", code=1)
    assert "something else" in error
    assert "--force" in error
    run(capsys, *arguments, "--seed", "1", "--force")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("all of it")
    assert "other things" in run(capsys, *arguments[:-2], tmp_path / "other", "--json", code=1)


def test_a_changed_clip_is_measured_again(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    shutil.copytree(clips, data)
    arguments = ["eval", "reconstruction", "--data", data, "--baseline", "copy", "--out", tmp_path / "r", "--json"]
    before = run(capsys, *arguments)
    Image.fromarray(strip(9, 5)).save(data / "test" / "anna#1.png")
    after = run(capsys, *arguments)
    assert before["data_sha256"] != after["data_sha256"]
    assert before["results"]["copy"]["l1"]["value"] != after["results"]["copy"]["l1"]["value"]


def test_two_processes_give_the_same_to_the_last_digit(
    clips: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", "reconstruction", "--data", str(clips), "--baseline", "copy", "-w", str(tiny), "--json"]
    both = processes.together(*arguments)
    assert [process.wait() for process in both] == [0, 0], both[0].said
    assert json.loads(both[0].printed) == run(capsys, *arguments)
    assert both[1].printed == ""


def test_processes_share_everything_once() -> None:
    shares = [World(rank, 3).mine(7) for rank in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(7))


def test_a_clip_moved_by_three_pixels(clips: Path) -> None:
    ref = find_clip(clips / "test" / "anna#1.png")
    assert ref is not None
    blob = Blob()
    setup = Setup([Copy(), Shifted()], Measures(("l1",)), Observers(blob, blob), batch=2)
    record = Reconstruction([ref]).measure(ref, setup)
    shifted = record.tallies["shifted"]
    assert shifted.mean("akd") == pytest.approx(3 * 256 / SIDE)
    assert shifted.mean("mkr") == 0
    assert shifted.mean("aed") == pytest.approx(0, abs=1e-9), "rolling moves colours about and loses none"
    assert record.tallies["copy"].mean("akd") != shifted.mean("akd")


def test_bad_input(clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["eval", "reconstruction", "--data"]
    copy = ["--baseline", "copy"]
    assert "does not exist" in run(capsys, *base, tmp_path / "none", *copy, code=1)
    (tmp_path / "empty" / "test").mkdir(parents=True)
    (tmp_path / "empty" / "train").mkdir()
    assert "No clips" in run(capsys, *base, tmp_path / "empty", *copy, code=1)
    assert "Nothing to evaluate" in run(capsys, *base, clips, code=1)
    assert "'copi'" in run(capsys, *base, clips, "--baseline", "copi", code=1)
    assert "does not exist" in run(capsys, *base, clips, "-w", tmp_path / "none.safetensors", code=1)
    assert "no metric 'fvd'" in run(capsys, *base, clips, *copy, "--metrics", "fvd", code=1)
    assert "NAME=FILE" in run(capsys, *base, clips, *copy, "--metrics", "akd", "--network", "x", code=1)
    assert "no rows for" in run(capsys, *base, clips, *copy, "--paper", "mgif", code=1)
    assert "does not exist" in run(capsys, *base, clips, *copy, "--metrics", "lpips", "--lpips-weights", "x", code=1)
    assert run(capsys, "eval", "reconstruction", *copy, code=2)


def test_bad_clips_are_skipped_and_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = tmp_path / "data" / "test"
    test.mkdir(parents=True)
    (tmp_path / "data" / "train").mkdir()
    Image.fromarray(strip(0, 4)).save(tmp_path / "data" / "train" / "a.png")
    Image.fromarray(strip(1, 4)).save(test / "good.png")
    Image.fromarray(strip(2, 1)).save(test / "lonely.png")
    (test / "torn.png").write_bytes((test / "good.png").read_bytes()[:900])
    (test / "text.mp4").write_text("no video")
    found = run(capsys, "eval", "reconstruction", "--data", tmp_path / "data", "--baseline", "copy", "--json")
    assert found["clips"] == 1
    reasons = {item["name"]: item["reason"] for item in found["skipped"]}
    assert set(reasons) == {"lonely", "torn", "text"}
    assert "single frame" in reasons["lonely"]
    assert any("3 of 4 clips were skipped" in note for note in found["notes"])
    (test / "good.png").unlink()
    error = run(capsys, "eval", "reconstruction", "--data", tmp_path / "data", "--baseline", "copy", code=1)
    assert "No clip could be evaluated" in error


def test_clips_of_another_size_are_fitted_and_counted(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        folder = tmp_path / part / "wide"
        folder.mkdir(parents=True)
        for index in range(3):
            Image.fromarray(strip(index, 2, 40)).save(folder / f"{index}.png")
    found = run(capsys, "eval", "reconstruction", "--data", tmp_path, "-w", tiny, "--json")
    assert found["size"] == [SIDE, SIDE]
    assert any("1 of 1 clips were cropped and resized" in note for note in found["notes"])
    larger = run(capsys, "eval", "reconstruction", "--data", tmp_path, "-w", tiny, "--size", "64", "--json")
    assert larger["size"] == [64, 64]


def test_weights_of_different_sizes_want_a_size(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configs.load("toon-64", [*SMALL[1:], "data.frame_shape=[64,64]"])
    save_weights(tmp_path / "big.safetensors", FirstOrderModel(config.model, (64, 64)), config)
    arguments = ["eval", "reconstruction", "--data", clips, "-w", tiny, "-w", tmp_path / "big.safetensors"]
    assert "--size" in run(capsys, *arguments, code=1)
    assert set(run(capsys, *arguments, "--size", "48", "--json")["results"]) == {"tiny", "big"}


def test_parts_of_a_set(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["eval", "reconstruction", "--baseline", "copy", "--metrics", "l1", "--json", "--data"]
    assert run(capsys, *base, clips, "--part", "all")["clips"] == 4
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "test").symlink_to(clips / "test")
    assert run(capsys, *base, tmp_path / "lone")["clips"] == 3
    assert "no part 'tset'" in run(capsys, *base, clips, "--part", "tset", code=1)

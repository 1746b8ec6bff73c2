"""The report of an evaluation: what it compares, notes and shows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fomm_cli.evaluate.methods import Column, Copy, Take
from fomm_cli.evaluate.metrics import METRICS, Measures, Metric, names
from fomm_cli.evaluate.records import Record, Tally
from fomm_cli.evaluate.report import PAPER, document, known_set
from fomm_cli.evaluate.run import evaluate, measure
from fomm_cli.evaluate.setup import Request, Setup
from fomm_cli.evaluate.sheets import error_map, picked
from fomm_cli.evaluate.tasks import Reconstruction
from fomm_cli.evaluate.toon import check, summary
from tests.evaluation import SIDE, Shifted, run


def test_best_median_and_worst() -> None:
    ranked = [(f"c{i}", float(i)) for i in range(6)]
    assert [(which, name) for which, name, _ in picked(ranked)] == [("best", "c0"), ("median", "c2"), ("worst", "c5")]
    assert picked(ranked[:1]) == [("best", "c0", 0.0)]
    assert picked([]) == []


def test_error_map_is_black_where_nothing_differs() -> None:
    a = np.zeros((2, 2, 3), np.uint8)
    b = a.copy()
    b[0, 0], b[0, 1] = 255, 20
    heat = error_map(a, b)
    assert heat[0, 0].tolist() == [255, 255, 255]
    assert heat[0, 1, 0] > 0
    assert heat[0, 1, 1:].tolist() == [0, 0]
    assert not heat[1].any()


def test_the_papers_sets_are_known_by_name() -> None:
    assert known_set("vox-png") == "vox"
    assert known_set("Taichi") == "taichi"
    assert known_set("mgif-128") is None
    assert known_set("voxels") is None
    assert all(rows[0].method == "FOMM, paper" for rows in PAPER.values())


# --- one entry is a metric


def test_a_metric_is_one_entry(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def brightness(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return prediction.mean((1, 2, 3)) - truth.mean((1, 2, 3))

    monkeypatch.setitem(METRICS, "toy", Metric("toy", "Toy", "of white", higher=True, digits=1, function=brightness))
    base = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--metrics", "toy,l1"]
    found = run(capsys, *base, "--out", tmp_path / "r", "--json")
    assert list(found["results"]["tiny"]) == ["l1", "toy"]
    toy = found["results"]["tiny"]["toy"]
    assert toy["count"] == 12
    assert toy["against"]["clips"] == 3
    assert "Toy ↑ (of white)" in (tmp_path / "r" / "report.html").read_text()
    assert "Toy ↑" in run(capsys, *base)
    drawn = run(capsys, "eval", "animation", "--identities", "1", "--frames", "1", "--metrics", "toy", "--json")
    assert "toy" in drawn["results"]["copy, relative"]
    assert "l1, psnr, ssim, lpips, akd, mkr, aed, fid, toy" in run(
        capsys, "eval", "reconstruction", "--data", clips, "--metrics", ",", code=1
    )


def test_help_names_the_metrics(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert ",".join(names("reconstruction")) in run(capsys, "eval", "reconstruction", "--help")
    assert ",".join(names("pairs")) in run(capsys, "eval", "animation", "--help")


# --- comparisons


def records(**values: list[tuple[float, int]]) -> list[Record]:
    """A record a clip: of each column the mean L1 and the frames."""
    made = []
    for number, clip in enumerate(zip(*values.values(), strict=True)):
        record = Record(f"clip {number}", str(number), frames=clip[0][1])
        for name, (value, frames) in zip(values, clip, strict=True):
            record.tallies[name] = Tally({"l1": value * frames}, {"l1": frames})
        made.append(record)
    return made


def reported(made: list[Record]) -> dict[str, Any]:
    table = [Column(name, Copy() if name == "copy" else Shifted(), "reconstruction") for name in made[0].tallies]
    for column in table:
        if column.name != "copy":
            column.method.size = (SIDE, SIDE)  # a baseline works at any
    return document("reconstruction", made, table, ["l1"], 0, {})


def test_pairs_see_what_overlapping_averages_hide() -> None:
    hard = np.linspace(0.1, 0.9, 12)
    found = reported(records(copy=[(x, 5) for x in hard], ours=[(x - 0.01, 5) for x in hard]))["results"]
    ours, copied = found["ours"]["l1"], found["copy"]["l1"]
    assert ours["interval"][1] > copied["interval"][0], "the averages overlap"
    against = ours["against"]
    assert against["column"] == "copy"
    assert against["value"] == pytest.approx(-0.01)
    assert against["interval"] == pytest.approx([-0.01, -0.01])
    assert (against["better"], against["clips"]) == (12, 12)
    assert "against" not in copied
    assert ours["over_copy"]["value"] == pytest.approx(ours["value"] / copied["value"])


def test_a_note_where_two_averages_disagree() -> None:
    made = records(one=[(0.1, 100), (0.5, 2)], other=[(0.2, 100), (0.2, 2)])
    (note,) = reported(made)["notes"]
    assert "one is better over frames, other over videos" in note
    assert reported(records(one=[(0.1, 9), (0.2, 9)], other=[(0.3, 9), (0.4, 9)]))["notes"] == []


def test_what_is_not_a_number_is_said_and_never_written(
    clips: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Broken:
        name, size = "broken", (SIDE, SIDE)

        def start(self, source: torch.Tensor, *rest: Any) -> Any:
            return lambda driving: Take(driving.clone().index_fill_(0, torch.tensor([0]), math.nan), None)

    task = Reconstruction.of(clips)
    setup = Setup([Copy(), Broken()], Measures(("l1", "psnr", "ssim")), metrics=("l1", "psnr", "ssim"))
    made = measure(task, setup)
    report = document("reconstruction", made, task.table(setup), setup.metrics, 0, {})
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert [report["results"]["broken"][name]["value"] for name in ("l1", "psnr", "ssim")] == [None] * 3
    assert report["results"]["copy"]["l1"]["value"] > 0
    assert any("broken: L1 of 3 frames is not a number" in note for note in report["notes"])
    four = summary(check(Broken(), identities=1, frames=2, size=SIDE))
    assert four["animation"]["ratio"] is None
    json.dumps(four, allow_nan=False)


# --- from Python, and other divisions of a set


def test_one_call_from_python(clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    done: list[tuple[str, int, int]] = []
    request = Request(weights=[str(tiny)], baselines=["copy"])
    result = evaluate(
        Reconstruction.of(clips), request, tmp_path / "r", say=said.append, step=lambda *one: done.append(one)
    )
    assert result.page == tmp_path / "r" / "report.html"
    assert result.report == json.loads((tmp_path / "r" / "results.json").read_text())
    assert said[0].startswith("Device: ")
    assert done[-1][1:] == (3, 3)
    base = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--json"]
    assert run(capsys, *base) == result.report


def test_a_list_of_test_clips(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "test.txt"
    listed.write_text("t#1.png\nbob#1\n\n")
    base = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "--metrics", "l1", "--split", listed]
    found = run(capsys, *base, "--json")
    assert set(found["per_clip"]) == {"t#1", "bob#1"}
    assert found["split"] == "test clips named in test.txt"
    listed.write_text("carl\n")
    assert "'carl'" in run(capsys, *base, code=1)
    listed.write_text("")
    assert "names no clips" in run(capsys, *base, code=1)
    assert "cannot be read" in run(capsys, *base[:-1], tmp_path / "none", code=1)
    assert "exclude each other" in run(capsys, *base, "--part", "all", code=1)

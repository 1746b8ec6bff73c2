"""A run remembers what it was fed with; other data on a resume is refused, naming what differs, or accepted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from fomm_cli.commands.app import main
from fomm_cli.data.fingerprint import OPENED, Fingerprint, differences, fingerprint
from fomm_cli.data.packed import Packing, write_clip
from fomm_cli.data.split import find_split
from fomm_cli.train.run import Run
from tests.data_material import pictures, strip, strips
from tests.training import TREE, tiny_clips


def test_the_same_set_elsewhere_or_packed_has_the_same_fingerprint(tmp_path: Path) -> None:
    strips(tmp_path / "one", ["a", "b", "c"], 4)
    taken = fingerprint(find_split(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "b.png").unlink()
    write_clip(tmp_path / "two" / "b.zip", pictures(4), Packing())
    again = fingerprint(find_split(tmp_path / "two"))
    assert differences(taken, again) == []
    assert Fingerprint.from_json(json.loads(json.dumps(taken.to_json()))) == taken


def test_what_differs_is_named(tmp_path: Path) -> None:
    tiny_clips(tmp_path, train=6)
    before = fingerprint(find_split(tmp_path))
    (tmp_path / "train" / "train00.png").unlink()
    (tmp_path / "train" / "train01.png").write_bytes(b"no picture")
    strip(tmp_path / "train" / "train02.png", pictures(7, 32))
    strips(tmp_path / "test", ["x", "y", "z", "w"])
    assert differences(before, fingerprint(find_split(tmp_path))) == [
        "1 clip to train on is gone (train00)",
        "2 clips to train on are of another shape (train01 was 4 frames of 16x16, is unreadable, train02 was 4 frames "
        "of 16x16, is 7 frames of 32x32)",
        "4 clips to test on are new (w, x, y, ...)",
    ]


def test_of_a_large_set_the_names_are_noted_and_some_clips_opened(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for number in range(OPENED + 50):
        (tmp_path / "train" / f"{number}.zip").touch()
    (tmp_path / "test").mkdir()
    split = find_split(tmp_path)
    taken = fingerprint(split)
    assert len(taken.train.names) == OPENED + 50
    assert len(taken.train.shapes) == OPENED
    assert {split.train[0].name, split.train[-1].name} <= set(taken.train.shapes)


@pytest.mark.parametrize("stored", [{}, {"train": 1, "test": 2}, {"train": {"names": [], "shapes": {"a": [1]}}}, []])
def test_a_file_that_holds_something_else_is_refused(stored: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Fingerprint.from_json(stored)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in its first epoch, its clips, others, and few of them."""
    place = tmp_path_factory.mktemp("material")
    tiny_clips(place / "data")
    tiny_clips(place / "other", train=14, side=32)
    tiny_clips(place / "few", train=3)
    (place / "tiny.yaml").write_text(yaml.safe_dump(TREE))
    assert main(command(place, "runs", "--steps", "3")) == 0
    return place


def command(place: Path, runs: str, *more: str) -> list[str]:
    words = ["train", str(place / "tiny.yaml"), "--data", str(place / "data"), "--runs", str(place / runs)]
    return [*words, "--workers", "0", "--device", "cpu", *more]


def copied(place: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(place / "runs" / "00001-tiny", tmp_path / "00001-tiny")))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("other", "4 clips to train on are new (train10, train11, train12, ...); 10 clips to train on are of another"),
        ("few", "7 clips to train on are gone (train03, train04, train05, ...)."),
    ],
)
def test_other_data_is_refused_unless_it_is_accepted(
    place: Path, tmp_path: Path, other: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(place, tmp_path)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    resume = ["resume", str(run.folder), "--data", str(place / other)]
    assert main(resume) == 1
    errors = capsys.readouterr().err
    assert f"{place / other} is not the data set that 00001-tiny was fed with: " in errors
    assert said in errors
    assert "--accept-data" in errors
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    assert main([*resume, "--accept-data", "--steps", "5"]) == 0
    assert "Other data than before, as accepted: " in capsys.readouterr().err
    assert run.read_options().data == str(place / other)
    assert main(["resume", str(run.folder), "--steps", "6"]) == 0  # it is this run's data now


def test_data_that_was_moved_is_the_same_and_remembered(place: Path, tmp_path: Path) -> None:
    run = copied(place, tmp_path)
    shutil.copytree(place / "data", tmp_path / "moved")
    assert main(["resume", str(run.folder), "--data", str(tmp_path / "moved"), "--steps", "4"]) == 0
    assert run.read_options().data == str(tmp_path / "moved")


def test_a_run_from_before_is_noted_when_it_goes_on(place: Path, tmp_path: Path) -> None:
    run = copied(place, tmp_path)
    noted = run.data.read_text()
    run.data.unlink()
    assert main(["resume", str(run.folder), "--steps", "4"]) == 0
    assert run.data.read_text() == noted


def test_test_clips_by_a_list(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "held.txt"
    listed.write_text("train03\ntest01.png\n")
    assert main(command(place, "listed", "--split", str(listed), "--steps", "1")) == 0
    run = Run(place / "listed" / "00001-tiny")
    assert json.loads(run.data.read_text())["test"]["names"] == ["train03", "test01"]
    listed.unlink()  # the run has a copy
    assert main(["resume", str(run.folder), "--steps", "2"]) == 0
    assert "test clips named in" in capsys.readouterr().err
    listed.write_text("train03\ntran04\n")
    assert main(command(place, "wrong", "--split", str(listed), "--steps", "1")) == 1
    assert "name 2, 'tran04', is no clip of the set" in capsys.readouterr().err
    assert not list((place / "wrong").iterdir())


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("data.json", "{}", "does not tell what the run was fed with"),
        ("options.json", '{"data": "clips", "keep": "two"}', "was changed to what cannot be: keep: "),
        ("options.json", '{"seed": 1}', "was changed to what cannot be: data: "),
    ],
)
def test_files_of_a_run_that_were_changed_are_said(
    place: Path, tmp_path: Path, file: str, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(place, tmp_path)
    (run.folder / file).write_text(content)
    assert main(["resume", str(run.folder)]) == 1
    assert said in capsys.readouterr().err


def test_lines_of_a_log_that_are_no_steps_are_passed_over(place: Path, tmp_path: Path) -> None:
    run = copied(place, tmp_path)
    with run.metrics.open("a") as file:
        file.write('5\n{}\n[1]\n{"step": "x"}\n{"step": 2')
    run.validation.write_text('{"step": 1}\n7\n')
    assert main(["runs", "list", "--runs", str(tmp_path)]) == 0
    assert main(["runs", "compare", str(run.folder), str(run.folder)]) == 0
    assert main(["resume", str(run.folder), "--steps", "4"]) == 0
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2, 3, 4]

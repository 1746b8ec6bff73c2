"""Checkpoints: how many are kept, which stay, and what happens when the last one is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from fomm_cli.commands.app import main
from fomm_cli.errors import FommError
from fomm_cli.train import checkpoint, shelf
from fomm_cli.train.run import Run
from fomm_cli.weights.file import read_weights
from tests.training import tiny_clips, tiny_file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """15 steps of 3 epochs, saved every fourth step, three kept, and the second epoch's stays."""
    place = tmp_path_factory.mktemp("shelf")
    tiny_clips(place / "data")
    words = ["train", str(tiny_file(place / "tiny.yaml")), "--data", str(place / "data"), "--runs", str(place / "runs")]
    words += ["--workers", "0", "--device", "cpu", "--checkpoint-minutes", "0", "--checkpoint-steps", "4"]
    assert main([*words, "--keep", "3", "--milestone-epochs", "2"]) == 0
    return Run(place / "runs" / "00001-tiny")


@pytest.fixture
def run(whole: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(whole.folder, tmp_path / "00001-tiny")))


def names(run: Run) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def step(path: Path) -> int:
    return int(checkpoint.read(path)["state"]["step"])


def test_the_last_ones_and_milestones_are_kept(whole: Run) -> None:
    kept = ["step-00000008.pt", "step-00000010-epoch-0002.pt", "step-00000012.pt"]
    assert names(whole) == ["best.pt", "last.pt", *kept]
    assert [step(whole.checkpoints / name) for name in ("last.pt", *kept)] == [15, 8, 10, 12]


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "short":
        del content[len(content) // 2 :]
    elif how == "flipped":
        content[len(content) // 2] ^= 255
    else:
        content.clear()
    path.unlink()  # a link to it must not change
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["short", "flipped", "empty", "gone"])
def test_a_damaged_last_one_gives_way_to_the_one_before(
    whole: Run, run: Run, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run.weights.unlink()
    run.last.unlink() if how == "gone" else damage(run.last, how)
    assert main(["resume", str(run.folder)]) == 0
    errors = capsys.readouterr().err
    assert "Taking the one before: step-00000012.pt." in errors
    assert str(run.last) in errors
    ours, theirs = (read_weights(one.weights).model for one in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    lines = [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]
    assert lines == list(range(1, 16))
    assert step(run.last) == 15


def test_where_all_are_damaged_the_last_one_is_named(run: Run) -> None:
    for path in run.checkpoints.iterdir():
        damage(path, "short")
    with pytest.raises(FommError, match=r"last\.pt"):
        shelf.newest(run)


def test_a_config_that_differs_is_no_damage(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.config.write_text(run.config.read_text().replace("ema: 0.9", "ema: 0.8"))
    assert main(["resume", str(run.folder)]) == 1
    assert "differs from its checkpoint in train.ema" in capsys.readouterr().err


def test_without_links_a_checkpoint_is_copied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "links are not supported")

    monkeypatch.setattr("os.link", refused)
    damage(run.last, "short")
    found = shelf.newest(run)
    shelf.go_on(run, found, 12)
    assert step(run.last) == 12
    assert not list(run.checkpoints.glob(".*"))


def test_exports_say_what_they_are(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["runs", "export", str(run.folder), "-o", str(tmp_path / "out.safetensors"), "--force"]
    assert main([*out, "--step", "10"]) == 0
    assert "Weights of step 10, after 2 whole epochs." in capsys.readouterr().err
    assert read_weights(tmp_path / "out.safetensors").header.provenance["steps"] == 10
    assert main([*out, "--step", "9"]) == 1
    assert "Kept beside the last: 8, 10, 12." in capsys.readouterr().err
    assert main([*out, "--step", "8", "--best"]) == 2
    damage(run.last, "short")
    assert main(out) == 0
    errors = capsys.readouterr().err
    assert "Taking the one before: step-00000012.pt. The run is at step 15." in errors


def test_an_export_does_not_replace_a_checkpoint(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = run.last.read_bytes()
    assert main(["runs", "export", str(run.folder), "-o", str(run.last), "--force"]) == 1
    assert "does not end in .safetensors" in capsys.readouterr().err
    assert run.last.read_bytes() == before


def test_an_export_of_the_start_is_refused(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    content = checkpoint.read(run.last)
    content["state"]["step"] = 0
    torch.save(content, run.last)
    out = tmp_path / "out.safetensors"
    assert main(["runs", "export", str(run.folder), "-o", str(out)]) == 1
    errors = capsys.readouterr().err
    assert "has no trained checkpoint yet: the only one is of its start" in errors
    assert "--best" in errors
    assert not out.exists()

"""`fomm dataset check` finds what a training would trip over; `fomm bench data` measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomm_cli.bench.data import bench_data
from fomm_cli.commands.app import main
from fomm_cli.config.reading import load
from fomm_cli.data.check import check
from fomm_cli.data.movie import VideoClip
from fomm_cli.errors import FommError
from tests import processes
from tests.clips import write_clip as write_video
from tests.data_material import folder, pictures, strips


@pytest.fixture
def good(tmp_path: Path) -> Path:
    root = tmp_path / "good"
    strips(root / "train", ["id0#a", "id0#b", "id1#a"], count=5)
    folder(root / "train" / "id2#a", pictures(9))
    strips(root / "test", ["id3#a"], count=2)
    return root


def preset(*overrides: str) -> Any:
    shallow = ["model.detector.num_blocks=2", "model.dense_motion.num_blocks=2"]  # for frames as small as these
    return load("vox-256", ["data.frame_shape=32", "train.batch_size=4", *shallow, *overrides])


def test_a_sound_set(good: Path) -> None:
    report = check(good, preset(), workers=2)
    assert report.usable
    assert (report.train.clips, report.train.frames, report.train.identities) == (4, 24, 3)
    assert (report.test.clips, report.test.frames) == (1, 2)
    assert report.train.sizes == {"32x32": 4}
    assert report.train.kinds == {"strip": 3, "folder": 1}
    assert report.train.smallest == ("id0#a", 5)
    assert report.train.largest == ("id2#a", 9)
    assert report.unreadable == report.ignored == report.errors == []
    assert [line.split(".")[0] for line in report.warnings] == [
        "3 clips (id0#a, id0#b, id1#a) are slow to read at random"
    ]


def test_every_unreadable_clip_has_its_reason(good: Path) -> None:
    (good / "train" / "a.mp4").write_bytes(b"no video")
    (good / "test" / "b.zip").write_bytes(b"no zip")
    (good / "train" / "notes.txt").write_text("x")
    report = check(good)
    assert [Path(path).name for path, _ in report.unreadable] == ["a.mp4", "b.zip"]
    assert all(Path(path).name in reason for path, reason in report.unreadable)
    assert [Path(path).name for path in report.ignored] == ["notes.txt"]
    assert report.usable
    assert any("2 of 7 clips cannot be read" in line for line in report.warnings)


def test_full_finds_damage_between_the_samples(good: Path) -> None:
    (good / "train" / "id2#a" / "2.png").write_bytes(b"no picture")
    assert not check(good).unreadable
    assert [Path(path).name for path, _ in check(good, full=True).unreadable] == ["id2#a"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.num_repeats=1"], "3 identities x 1 repeats = 3 pairs, less than one batch of 4"),
        (["train.num_repeats=1", "data.id_sampling=false", "train.batch_size=5"], "4 clips x 1 repeats = 4 pairs"),
    ],
)
def test_a_batch_larger_than_the_set_is_an_error(good: Path, overrides: list[str], words: str) -> None:
    report = check(good, preset(*overrides))
    assert not report.usable
    assert words in report.errors[0]


def test_shapes_and_sizes_are_warned_of(good: Path) -> None:
    folder(good / "train" / "id4#wide", [np.zeros((40, 64, 3), dtype=np.uint8)] * 2)
    warnings = "\n".join(check(good, preset("data.frame_shape=64")).warnings)
    assert "Training clips have 2 sizes" in warnings
    assert "1 clip (id4#wide) is not of the shape 64x64: sides are cut off" in warnings
    assert "5 clips (id0#a, id0#b, id1#a, ...) are smaller than 64x64" in warnings


def test_identities_are_hinted_at(good: Path, tmp_path: Path) -> None:
    assert any("data.id_sampling=true" in line for line in check(good).warnings)
    assert any("data.id_sampling is off" in line for line in check(good, preset("data.id_sampling=false")).warnings)
    strips(tmp_path / "plain", ["a", "b", "c"])
    assert any("no name has a #" in line for line in check(tmp_path / "plain", preset()).warnings)
    strips(good / "test", ["id1#z"])
    assert any("1 identity (id1) is in both train and test" in line for line in check(good).warnings)


def test_single_frames(tmp_path: Path) -> None:
    strips(tmp_path, ["a", "b", "c"], count=1)
    report = check(tmp_path)
    assert not report.usable
    assert "no motion to learn" in report.errors[0]
    folder(tmp_path / "moving", pictures(4))
    folder(tmp_path / "moving2", pictures(4))
    report = check(tmp_path)
    assert report.usable
    assert any("of a single frame" in line for line in report.warnings)


def test_one_clip_leaves_nothing_to_validate_on(tmp_path: Path) -> None:
    folder(tmp_path / "only", pictures(4))
    report = check(tmp_path)
    assert report.usable
    assert any("No clip is left for validation" in line for line in report.warnings)


def test_videos_with_far_key_frames_are_slow(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        write_video(tmp_path / part / "sparse.mp4", pictures(20) * 4)
        write_video(tmp_path / part / "short.mp4", pictures(20))
    assert VideoClip(tmp_path / "train" / "sparse.mp4").reach == 80
    assert VideoClip(tmp_path / "train" / "short.mp4").reach == 20
    assert any(line.startswith("1 clip (sparse) is slow") for line in check(tmp_path).warnings)


def test_the_command(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "check", str(good)]) == 0
    text = capsys.readouterr().out
    assert "train  4 clips (3 strip, 1 folder), 24 frames, 3 identities" in text
    assert "Ready to train on." in text
    (good / "train" / "a.mp4").write_bytes(b"no video")
    command = ["dataset", "check", str(good), "-c", "vox-256", "--set", "train.num_repeats=1", "--json", "--full"]
    assert main(command) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["usable"] is False
    assert "less than one batch of 40" in report["errors"][0]
    assert len(report["unreadable"]) == 1
    (tmp_path / "empty").mkdir()
    assert main(["dataset", "check", str(tmp_path / "empty")]) == 1
    assert "No clips" in capsys.readouterr().err
    assert main(["dataset", "check", str(good), "--set", "train.num_repeats=1"]) == 2


def test_bench_data_measures(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "data", str(good), "--config", "toon-64", "--set", "data.frame_shape=32", "--pairs", "6"]
    # A process of its own: the loader forks, and the suite's has threads of every library by now.
    alone = processes.run(*command, "--workers", "1", "--memory", "0.02", "--json")
    assert alone.returncode == 0, alone.said
    result = json.loads(alone.printed)
    assert [result[key] for key in ("clips", "pairs", "preloaded", "failures")] == [4, 6, 4, 0]
    assert min(result[f"{kind}pairs_per_{unit}second"] for kind, unit in (("", ""), ("", "cpu_"), ("loader_", ""))) > 0
    assert 0 < result["read_ms"][0] <= result["read_ms"][1]
    assert 0 < result["augment_ms"][0] <= result["augment_ms"][1]
    command += ["--workers", "0"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loader_pairs_per_second"] is None
    assert main(command) == 0
    assert "pairs/s" in capsys.readouterr().out


def test_bench_data_of_a_broken_set_says_so(good: Path, tmp_path: Path) -> None:
    (good / "train" / "id9#broken.mp4").write_bytes(b"no video")
    assert bench_data(good, preset(), pairs=40).failures > 0
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(FommError, match="No pair could be read"):
        bench_data(tmp_path / "broken", preset(), pairs=4)

"""`fomm dataset crop`: from a video to square clips, a table that repeats them, and sheets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.acquire.crop import Keep, crop_videos
from fomm_cli.acquire.cutting import Style
from fomm_cli.acquire.table import read_table
from fomm_cli.boxes import Edges
from fomm_cli.commands.app import main
from fomm_cli.data.clips import open_clip
from fomm_cli.detectors.protocol import Detection
from fomm_cli.detectors.tracking import BoxFinder, Rules
from fomm_cli.errors import FommError
from tests.movies import write_movie

SIDE = 20
QUICK = ["--min-frames", "10", "--size", "32"]


class Patches:
    """Sees bright patches: two lanes of the picture, each with at most one."""

    def detect(self, frame: np.ndarray) -> list[Detection]:
        return [Detection(box, 0.9) for top in (0, 48) if (box := patch(frame[top : top + 48], top)) is not None]


def patch(part: np.ndarray, top: int) -> Edges | None:
    rows, columns = np.nonzero(part.min(axis=2) > 150)
    if not len(rows):
        return None
    return float(columns.min()), float(rows.min() + top), float(columns.max() + 1), float(rows.max() + top + 1)


def paint(number: int) -> np.ndarray:
    """Two shots of 30 pictures: one patch that wanders, then two at rest, one of them for 8 pictures only."""
    frame = np.full((96, 128, 3), (20, 30, 60) if number < 30 else (60, 60, 10), np.uint8)
    if number < 30:
        frame[20 : 20 + SIDE, 40 + number // 3 : 40 + number // 3 + SIDE] = 255
    else:
        frame[5 : 5 + SIDE, 100 : 100 + SIDE] = 255
        if number >= 52:
            frame[60 : 60 + SIDE, 10 : 10 + SIDE] = 255
    return frame


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("movie") / "my film.mp4", 60, paint)


def crop(movie: Path, out: Path, keep: Keep | None = None, **more: object) -> object:
    return crop_videos(
        [movie], out, lambda: BoxFinder(Patches(), Rules()), keep or Keep(min_frames=10), Style(32), **more
    )  # type: ignore[arg-type]


def test_tracks_become_square_clips(movie: Path, tmp_path: Path) -> None:
    report = crop(movie, tmp_path)
    assert [(cut.start, cut.end) for cut in report.kept] == [(0, 30), (30, 60)]
    assert [(one.start, one.end) for one in report.rejected] == [(52, 60)]
    assert "8 frames, fewer than 10" in report.rejected[0].reason
    for cut, path in zip(report.kept, report.files, strict=True):
        left, top, right, bottom = cut.box
        assert right - left == bottom - top
        clip = open_clip(path)
        assert len(clip) == cut.end - cut.start
        for frame in clip:
            box = patch(frame, 0)
            assert box is not None
            assert box[2] - box[0] == pytest.approx(box[3] - box[1], abs=3)  # never squashed
            centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            assert all(abs(place - 16) < 7 for place in centre)


def test_the_sheet_shows_the_clips(movie: Path, tmp_path: Path) -> None:
    report = crop(movie, tmp_path)
    (sheet,) = report.sheets
    assert sheet == tmp_path / "sheets" / "my_film.png"
    with Image.open(sheet) as image:
        assert image.width > 8 * 96
        assert image.height > 2 * 96
        assert np.asarray(image.convert("L")).std() > 20


def test_the_table_repeats_the_crop(movie: Path, tmp_path: Path) -> None:
    report = crop(movie, tmp_path / "crop")
    argv = ["dataset", "fetch", str(tmp_path / "crop" / "metadata.csv"), "--videos", str(movie.parent)]
    assert main([*argv, "--out", str(tmp_path / "again"), "--size", "32"]) == 0
    for path in report.files:
        assert (tmp_path / "again" / path.relative_to(tmp_path / "crop")).read_bytes() == path.read_bytes()


def test_things_seen_at_once_are_different_ones(movie: Path, tmp_path: Path) -> None:
    report = crop(movie, tmp_path, Keep(min_frames=5))
    assert [cut.person for cut in report.kept] == ["my_film", "my_film", "my_film.2"]
    assert len({path.name for path in report.files}) == 3


def test_too_small_is_rejected_with_its_size(movie: Path, tmp_path: Path) -> None:
    report = crop(movie, tmp_path, Keep(min_frames=10, min_size=28))
    assert [cut.start for cut in report.kept] == [0]  # it wandered, so its box is the larger one
    assert any("smaller than 28" in one.reason for one in report.rejected)


def test_a_second_run_adds_and_does_not_overwrite(movie: Path, tmp_path: Path) -> None:
    crop(movie, tmp_path)
    with pytest.raises(FommError, match="already"):
        crop(movie, tmp_path)
    other = movie.parent / "other.mp4"
    other.write_bytes(movie.read_bytes())
    crop(other, tmp_path)
    assert sorted({cut.video for cut in read_table(tmp_path / "metadata.csv").cuts}) == ["my_film", "other"]
    crop(movie, tmp_path, Keep(min_frames=5), force=True)
    assert len(read_table(tmp_path / "metadata.csv").cuts) == 5
    assert len(list((tmp_path / "train").iterdir())) == 5
    with pytest.raises(FommError, match="both be called"):
        crop_videos([movie, tmp_path / "my_film.mov"], tmp_path, lambda: BoxFinder(Patches()), Keep(), Style(32))


def test_cropping_again_without_a_find_leaves_nothing_of_before(movie: Path, tmp_path: Path) -> None:
    crop(movie, tmp_path)
    crop(movie, tmp_path, Keep(min_frames=100), force=True)
    assert read_table(tmp_path / "metadata.csv").cuts == []
    assert not list((tmp_path / "train").iterdir())


def test_the_command_by_motion(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["dataset", "crop", str(movie), "--out", str(out), "--find", "motion", *QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [entry["frames"] for entry in report["kept"]] == [[0, 30], [30, 60]]
    left, top, right, bottom = report["kept"][0]["box"]
    assert left <= 42
    assert right >= 66
    assert right - left == bottom - top < 60
    assert (out / "sheets" / "my_film.png").is_file()


def test_the_command_by_a_given_box(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["dataset", "crop", str(movie), "--out", str(tmp_path), "--find", "0,0,64,64", *QUICK, "--pad", "0"]
    assert main([*argv, "--max-frames", "20", "--partition", "test"]) == 0
    said = capsys.readouterr().out
    assert said.count("kept") == 4  # two shots of 30 pictures, split at 20: 20, 10, 20, 10
    assert "box 64x64+0+0" in said
    assert len(list((tmp_path / "test").iterdir())) == 4


def test_none_kept_is_a_failure_and_every_track_is_told_of(
    movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["dataset", "crop", str(movie), "--out", str(tmp_path / "out"), "--find", "motion", "--min-frames", "100"]
    assert main(argv) == 1
    said = capsys.readouterr()
    assert said.out.count("rejected") == 2
    assert "fewer than 100" in said.out
    assert "Not one clip" in said.err
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(movie.read_bytes()[:3000])
    argv = ["--out", str(tmp_path / "out"), "--find", "motion", *QUICK]
    assert main(["dataset", "crop", str(broken), str(movie), *argv]) == 1
    assert "broken.mp4" in capsys.readouterr().err
    assert len(read_table(tmp_path / "out" / "metadata.csv").cuts) == 2  # the other one was cropped
    assert main(["dataset", "crop", str(tmp_path / "absent.mp4"), *argv]) == 1
    assert main(["dataset", "crop", str(movie), "--out", str(tmp_path / "o"), "--find", "nose"]) == 2
    assert main(["dataset", "crop", str(movie), "--out", str(tmp_path / "o"), "--find", "motion", "--format", "x"]) == 2

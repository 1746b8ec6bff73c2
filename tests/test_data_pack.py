"""Packing keeps names, parts and pixels, goes on where it stopped, and never leaves half a clip."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.data.clips import open_clip
from fomm_cli.data.pack import pack
from fomm_cli.data.packed import Packing, write_clip
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError
from tests import processes
from tests.clips import write_clip as write_video
from tests.data_material import folder, pictures, strip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    strip(root / "train" / "id0#strip.png", pictures(4), "RGBA")
    folder(root / "train" / "id1#folder.mp4", pictures(11))  # a folder may be called anything
    write_video(root / "train" / "id2#video.mp4", pictures(6))
    write_clip(root / "test" / "id3#packed.zip", pictures(5), Packing(lossless=True))
    return root


def files(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_layout_is_packed_under_its_name(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[str] = []
    report = pack(source, out, Packing(lossless=True), workers=2, report=lambda one, total: told.append(one.ref.name))
    assert sorted(told) == ["id0#strip", "id1#folder.mp4", "id2#video", "id3#packed"]
    assert (report.written, report.kept, report.frames, report.failures) == (4, 0, 26, [])
    assert report.bytes == sum(path.stat().st_size for path in out.rglob("*.zip"))
    before, after = find_split(source), find_split(out)
    for old, new in zip(before.train + before.test, after.train + after.test, strict=True):
        assert (old.name, old.identity) == (new.name, new.identity)
        clip, packed = old.open(), new.open()
        assert packed.rate == clip.rate
        for index in range(len(clip)):
            np.testing.assert_array_equal(packed.frame(index), clip.frame(index))


def test_jpeg_is_close_and_the_bytes_do_not_depend_on_the_day(source: Path, tmp_path: Path) -> None:
    report = pack(source, tmp_path / "out")
    lossless = pack(source, tmp_path / "lossless", Packing(lossless=True))
    assert report.frames == lossless.frames
    clip, packed = open_clip(source / "train" / "id0#strip.png"), open_clip(tmp_path / "out/train/id0#strip.zip")
    difference = np.abs(clip.frame(2).astype(int) - packed.frame(2))
    assert 0 < difference.mean() < 2
    time.sleep(0.01)
    pack(source, tmp_path / "again")
    for path in (tmp_path / "out").rglob("*.zip"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "out")).read_bytes()


def test_a_size_is_cut_and_resized(source: Path, tmp_path: Path) -> None:
    folder(source / "train" / "wide", [np.full((20, 60, 3), 50, dtype=np.uint8)])
    pack(source, tmp_path / "out", Packing(size=(24, 16)))
    assert {ref.open().size for ref in find_split(tmp_path / "out").train} == {(24, 16)}


def test_packing_goes_on_and_refuses_other_settings(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack(source, out)
    (out / "train" / "id0#strip.zip").unlink()
    times = files(out)
    report = pack(source, out)
    assert (report.written, report.kept, report.frames) == (1, 3, 26)
    assert {name: stamp for name, stamp in files(out).items() if name in times} == times
    with pytest.raises(FommError, match="packed with other settings"):
        pack(source, out, Packing(quality=80))
    assert pack(source, out, Packing(quality=80), force=True).written == 4


def test_unreadable_clips_are_told_and_leave_nothing(source: Path, tmp_path: Path) -> None:
    (source / "train" / "broken.mp4").write_bytes(b"no video")
    frames = folder(source / "train" / "half", pictures(5))
    (frames / "3.png").write_bytes(b"no picture")
    report = pack(source, tmp_path / "out", workers=2)
    assert report.written == 4
    assert [Path(path).name for path, _ in report.failures] == ["broken.mp4", "half"]
    assert "3.png" in report.failures[1][1]
    assert len(files(tmp_path / "out")) == 4


def test_a_place_inside_the_set_is_refused(source: Path) -> None:
    with pytest.raises(FommError, match="lies inside the data set"):
        pack(source, source / "packed")


def test_a_name_that_is_taken_leaves_one_clip_out_and_no_more(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strip(source / "train" / "id2#video.png", pictures(2))  # after id2#video.mp4, in natural order
    assert main(["dataset", "pack", str(source), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "id2#video.png would become id2#video.zip, as id2#video.mp4 does" in said.err.replace("\n", "")
    assert "4 clips packed" in said.out
    assert len(open_clip(tmp_path / "out/train/id2#video.zip")) == 6


def test_force_packs_over_what_was_packed_and_nothing_else(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "out")
    mine = tmp_path / "out" / "train" / "id2#video.zip"
    mine.write_bytes(b"PK of my own")
    report = pack(source, tmp_path / "out", force=True)
    assert report.written == 3
    assert [failure for _, failure in report.failures] == [
        f"{mine} was not packed by fomm: it is not overwritten. Move it away."
    ]
    assert mine.read_bytes() == b"PK of my own"


def test_settings_out_of_range() -> None:
    with pytest.raises(FommError, match="quality 0"):
        Packing(quality=0)
    with pytest.raises(FommError, match="cannot be 4x300"):
        Packing(size=(300, 4))


def test_writing_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="no frames"):
        write_clip(tmp_path / "clip.zip", [])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_it_with_words_and_keeps_what_is_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    folder(tmp_path / "set" / "train" / "a", list(noise[:1]))
    folder(tmp_path / "set" / "test" / "b", list(noise))
    cramped = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    )
    command = ["dataset", "pack", tmp_path / "set", "-o", tmp_path / "out", "--lossless", "--workers", "1"]
    done = processes.run(*command, first=cramped)
    assert done.returncode == 1
    assert "no space is left" in done.said
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a.zip"]


def test_ctrl_c_leaves_whole_clips_only(tmp_path: Path) -> None:
    frames = [np.full((128, 128, 3), shade, dtype=np.uint8) for shade in range(40)]
    for name in range(8):
        strip(tmp_path / "set" / f"{name}.png", frames)
    process = processes.Command("dataset", "pack", tmp_path / "set", "-o", tmp_path / "out", "--workers", "1")
    while process.poll() is None and not list((tmp_path / "out").glob("*.zip")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 130)  # 0: it was done already
    for path in (tmp_path / "out").iterdir():
        assert path.suffix == ".zip"
        assert len(open_clip(path)) == 40
    assert main(["dataset", "pack", str(tmp_path / "set"), "-o", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.zip"))) == 8


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["dataset", "pack", str(source), "-o", str(tmp_path / "out"), "--size", "16"]
    assert main(command) == 0
    assert "4 clips packed, 26 frames" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["written"], result["kept"], result["failures"]) == (0, 4, [])
    with Image.open(source / "train" / "id0#strip.png") as image:
        image.crop((0, 0, 50, 32)).save(source / "train" / "photo.png")
    assert main(command) == 1
    done = capsys.readouterr()
    assert "not a film strip" in done.err
    assert "Left out: 1 clip, see above" in done.err
    assert main([*command[:-1], "huge"]) == 2
    assert main(["dataset", "pack", str(tmp_path / "none"), "-o", str(tmp_path / "out2")]) == 1
    assert "does not exist" in capsys.readouterr().err

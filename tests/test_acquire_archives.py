"""Importing what owners hand out: the standard layout, and nothing outside it."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.acquire.archives import import_archive
from fomm_cli.acquire.cutting import Style
from fomm_cli.commands.app import main
from fomm_cli.data.clips import open_clip
from fomm_cli.errors import FommError
from tests.movies import number_of, write_movie

STYLE = Style(32, "packed", "stretch")


def picture(value: int, height: int = 24, width: int = 24) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def strip(values: list[int]) -> bytes:
    buffer = io.BytesIO()
    cells = [np.full((24, 24, 3), value, np.uint8) for value in values]
    Image.fromarray(np.concatenate(cells, axis=1)).save(buffer, "PNG")
    return buffer.getvalue()


def noise(seed: int) -> bytes:
    """A film strip of two frames that no archive can make smaller."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 48, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def gif(count: int) -> bytes:
    frames = [Image.fromarray(np.full((24, 30, 3), 40 * i, np.uint8)) for i in range(count)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=40)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    movie = write_movie(tmp_path_factory.mktemp("movie") / "m.mp4", 6)
    return {
        "set/train/00000.png": strip([10, 60, 110]),
        "set/train/person#walk.gif": gif(4),
        "set/test/movie one.mp4": movie.read_bytes(),
        **{f"set/train/folder/{n}.png": picture(20 * n) for n in (1, 2, 10)},
        "set/readme.txt": b"hello",
        "__MACOSX/set/train/._00000.png": b"junk",
    }


def as_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def as_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def as_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("make", [as_zip, as_tar, as_folder])
def test_every_layout_comes_in(tmp_path: Path, members: dict[str, bytes], make: object) -> None:
    archive = make(tmp_path / "archive", members)  # type: ignore[operator]
    out = tmp_path / "out"
    report = import_archive(archive, out, STYLE)
    assert dict(report.clips) == {"train": 3, "test": 1}
    assert [reason for _, reason in report.skipped] == ["it is neither a video nor an image"]
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.zip"))
    assert names == ["test/movie_one.zip", "train/00000.zip", "train/folder.zip", "train/person#walk.zip"]
    assert [len(open_clip(out / name)) for name in names] == [6, 3, 3, 4]
    assert [round(frame.mean() / 20) for frame in open_clip(out / "train/folder.zip")] == [1, 2, 10]
    assert [number_of(frame) for frame in open_clip(out / "test/movie_one.zip")] == list(range(6))
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    again = import_archive(archive, out, STYLE)
    assert (again.kept, again.frames) == (4, report.frames)


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    evil = {
        "../../train/up.png": strip([1, 2]),
        "/train/root.png": strip([1, 2]),
        "train/..\\..\\back.png": strip([3, 4]),
    }
    out = tmp_path / "deep" / "er" / "out"
    report = import_archive(as_zip(tmp_path / "evil.zip", evil), out, STYLE)
    assert report.clips["train"] == 3
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".zip"}
    assert written == {tmp_path / "evil.zip"} | set((out / "train").glob("*.zip"))


def test_links_are_passed_over(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(strip([9, 9]))
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        for name, kind in (
            ("train/a.png", tarfile.SYMTYPE),
            ("train/b.png", tarfile.LNKTYPE),
            ("train/c.png", tarfile.FIFOTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, str(secret)
            archive.addfile(entry)
    assert not import_archive(tmp_path / "links.tar", tmp_path / "out", STYLE).clips


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fomm_cli.acquire.archives._SMALL", 1000)
    bomb = as_zip(tmp_path / "bomb.zip", {"train/big.png": bytes(4_000_000), "train/good.png": strip([5, 6])})
    report = import_archive(bomb, tmp_path / "out", STYLE)
    assert dict(report.clips) == {"train": 1}
    assert "would grow" in report.skipped[0][1]


def test_what_is_damaged_is_left_out_and_named(tmp_path: Path, members: dict[str, bytes]) -> None:
    broken = {"train/a.png": members["set/train/00000.png"][:60], "train/b.gif": members["set/train/person#walk.gif"]}
    report = import_archive(as_zip(tmp_path / "x.zip", broken), tmp_path / "out", STYLE)
    assert dict(report.clips) == {"train": 1}
    assert report.skipped[0][0] == "train/a.png"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_costs_one_clip(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("train/a.png", noise(1))
        archive.writestr("train/b.png", noise(2))
    data = bytearray((tmp_path / "x.zip").read_bytes())
    begin = data.index(b"train/a.png") + len("train/a.png") + 20
    data[begin : begin + 60] = bytes(60)
    (tmp_path / "x.zip").write_bytes(data)
    report = import_archive(tmp_path / "x.zip", tmp_path / "out", STYLE)
    assert dict(report.clips) == {"train": 1}
    assert "damaged" in report.skipped[0][1]


def test_a_damaged_tar_is_said_to_be(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as archive:
        for name in "abcd":
            entry, data = tarfile.TarInfo(f"train/{name}.png"), noise(ord(name))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    packed = bytearray((tmp_path / "x.tar.xz").read_bytes())
    packed[len(packed) // 2 : len(packed) // 2 + 100] = bytes(100)
    (tmp_path / "x.tar.xz").write_bytes(packed)
    with pytest.raises(FommError, match="damaged"):
        import_archive(tmp_path / "x.tar.xz", tmp_path / "out", STYLE)


def test_a_full_disk_ends_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = as_zip(tmp_path / "x.zip", {"train/a.png": strip([1, 2])})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: Full())
    with pytest.raises(FommError, match="no space is left"):
        import_archive(archive, tmp_path / "out", STYLE)
    assert not any((tmp_path / "out").iterdir())


def test_the_command_tells_where_a_set_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    for name, home in (("mgif", "yadi.sk"), ("fashion", "ubc.ca"), ("nemo", "uva-nemo.org"), ("bair", "yadi.sk")):
        assert main(["dataset", "fetch", name]) == 0
        said = capsys.readouterr().out
        assert home in said
        assert "Terms:" in said


def test_the_command_imports(tmp_path: Path, members: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    archive = as_zip(tmp_path / "a.zip", members)
    argv = [
        "dataset",
        "fetch",
        "mgif",
        "--archive",
        str(archive),
        "--out",
        str(tmp_path / "out"),
        "--size",
        "32",
        "--json",
    ]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == {"train": 3, "test": 1}
    empty = as_zip(tmp_path / "b.zip", {"readme.txt": b"hello"})
    assert main([*argv[:4], str(empty), *argv[5:]]) == 1
    (tmp_path / "c.zip").write_bytes(b"no archive")
    assert main([*argv[:4], str(tmp_path / "c.zip"), *argv[5:]]) == 1

"""Cutting: exact frames, one reading for all clips, whole files or none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fomm_cli.acquire.cutting import Outcome, Style, cut_video
from fomm_cli.acquire.reasons import Failure, Reason
from fomm_cli.acquire.stretches import Source
from fomm_cli.acquire.table import Cut
from fomm_cli.data.clips import open_clip
from fomm_cli.errors import FommError
from tests.movies import number_of, numbered, write_movie


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("movie") / "v.mp4", 240)


def cut(start: int, end: int, box: tuple[int, int, int, int] = (0, 0, 128, 96), **more: object) -> Cut:
    return Cut("v", start, end, box, more.pop("fps", Fraction(25)), 128, 96, "train", **more)  # type: ignore[arg-type]


def run(movie: Path, cuts: list[Cut], out: Path, style: Style | None = None, **more: object) -> dict[str, Outcome]:
    done: list[Outcome] = []
    cut_video(movie, cuts, out, style or Style(64, "packed", "stretch"), done.append, **more)  # type: ignore[arg-type]
    return {one.cut.name: one for one in done}


def numbers(path: Path) -> list[int]:
    return [number_of(frame) for frame in open_clip(path)]


def test_each_clip_has_just_its_frames(movie: Path, tmp_path: Path) -> None:
    cuts = [cut(0, 30), cut(20, 50), cut(45, 46), cut(200, 240)]
    done = run(movie, cuts, tmp_path)
    for one in cuts:
        assert done[one.name].failure is None
        assert numbers(tmp_path / "train" / f"{one.name}.zip") == list(range(one.start, one.end))


def test_another_rate_than_the_tables(movie: Path, tmp_path: Path) -> None:
    one = cut(10, 20, fps=Fraction(10))
    run(movie, [one], tmp_path)
    assert numbers(tmp_path / "train" / f"{one.name}.zip") == list(range(25, 50))


def test_one_reading_serves_all_clips_of_a_stretch(movie: Path) -> None:
    with Source(movie) as source:
        seen = [number for number, _ in source.frames([range(30, 60), range(40, 70), range(90, 100)])]
        assert seen == [*range(30, 70), *range(90, 100)]
        assert source.work.seeks == 1
        assert source.work.decoded <= 100 - 24 + 8  # from the key frame before 30; a decoder runs a few frames ahead


def test_long_gaps_are_jumped_over(movie: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fomm_cli.acquire.stretches.SEEK_GAP", 2.0)
    with Source(movie) as source:
        seen = [(number, number_of(picture)) for number, picture in source.frames([range(5, 10), range(200, 205)])]
        assert seen == [(i, i) for i in [*range(5, 10), *range(200, 205)]]
        assert source.work.seeks == 2
        assert source.work.decoded < 60


def test_a_container_that_cannot_be_searched_is_read_from_the_start(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "v.mkv", 60)
    data = path.read_bytes()
    at = data.rfind(bytes.fromhex("1C53BB6B"))  # the index of an mkv; without it a seek can only guess
    path.write_bytes(data[:at] + b"\xec" + data[at + 1 :] if at > 0 else data)
    with Source(path) as source:
        assert [number_of(picture) for _, picture in source.frames([range(40, 44)])] == [40, 41, 42, 43]


def test_skipped_frames_are_held(tmp_path: Path) -> None:
    times = [0, 1, 2, 3, 7, 8, 9, 10, 11, 12]
    path = write_movie(tmp_path / "gaps.mp4", 10, times=times)
    with Source(path) as source:
        places = [round(Fraction(time, 25) * source.rate) for time in times]
        span = range(places[-1] + 1)
        shown = [number_of(picture) for _, picture in source.frames([span])]
    before = [max(k for k, place in enumerate(places) if place <= number) for number in span]
    assert shown == [places.index(number) if number in places else k for number, k in zip(span, before, strict=True)]
    assert len(shown) > len(set(shown))


def test_crops_are_where_the_box_is(tmp_path: Path) -> None:
    def paint(number: int) -> np.ndarray:
        picture = np.zeros((96, 128, 3), np.uint8)
        picture[32:64, 32:96] = (200, 40, 40)
        return picture

    path = write_movie(tmp_path / "v.mp4", 5, paint)
    one = cut(0, 5, (32, 32, 96, 64))
    run(path, [one], tmp_path)
    frame = open_clip(tmp_path / "train" / f"{one.name}.zip").frame(2)
    assert frame.shape == (64, 64, 3)
    assert np.abs(frame[4:-4, 4:-4].astype(int) - (200, 40, 40)).max() < 20


@pytest.mark.parametrize("kind", ["packed", "mp4", "png"])
def test_formats(movie: Path, tmp_path: Path, kind: str) -> None:
    one = cut(12, 20)
    run(movie, [one], tmp_path, Style(64, kind, "stretch"))  # type: ignore[arg-type]
    (path,) = (tmp_path / "train").iterdir()
    assert numbers(path) == list(range(12, 20))


def test_the_same_cut_gives_the_same_bytes(movie: Path, tmp_path: Path) -> None:
    one = cut(5, 15)
    run(movie, [one], tmp_path / "a")
    run(movie, [cut(0, 30), one], tmp_path / "b")
    name = f"train/{one.name}.zip"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_video_that_ends_too_soon(movie: Path, tmp_path: Path) -> None:
    done = run(movie, [cut(230, 260), cut(141, 241), cut(300, 400)], tmp_path)
    by_start = {one.cut.start: one for one in done.values()}
    assert by_start[230].failure is not None
    assert by_start[230].failure.reason == Reason.SHORT
    assert "10 of its 30" in by_start[230].failure.message
    assert by_start[300].failure is not None
    assert by_start[141].failure is None  # one frame of a hundred is forgiven
    assert by_start[141].frames == 99
    assert [path.name for path in (tmp_path / "train").iterdir()] == ["v#000141#000241.zip"]


def test_a_broken_file_gives_no_clip(movie: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(movie.read_bytes()[:2000])
    with pytest.raises(Failure) as caught:
        run(broken, [cut(0, 10)], tmp_path / "out")
    assert caught.value.reason == Reason.DAMAGED


def test_a_playlist_cannot_make_the_reader_open_files(movie: Path, tmp_path: Path) -> None:
    playlist = tmp_path / "evil.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{movie}\n#EXT-X-ENDLIST\n")
    with pytest.raises(Failure):
        run(playlist, [cut(0, 10)], tmp_path / "out")
    concat = tmp_path / "evil2.mp4"
    concat.write_text(f"ffconcat version 1.0\nfile {movie.name}\n")
    with pytest.raises(Failure):
        run(concat, [cut(0, 10)], tmp_path / "out")


def test_stopping_leaves_nothing_unfinished(movie: Path, tmp_path: Path) -> None:
    asked = iter(range(1000))
    done = run(movie, [cut(0, 10), cut(5, 100)], tmp_path, stop=lambda: next(asked) > 30)
    assert list(done) == ["v#000000#000010"]
    assert [path.name for path in (tmp_path / "train").iterdir()] == ["v#000000#000010.zip"]


def test_an_unwritable_place_stops_the_run(movie: Path, tmp_path: Path) -> None:
    (tmp_path / "train").write_text("in the way")
    with pytest.raises(FommError):
        run(movie, [cut(0, 10)], tmp_path)


def test_the_numbers_in_the_test_pictures() -> None:
    paint = numbered()
    assert [number_of(paint(number)) for number in (0, 1, 100, 239)] == [0, 1, 100, 239]

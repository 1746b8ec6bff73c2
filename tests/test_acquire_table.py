"""Metadata tables, the choice of clips, and where their boxes come to lie."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from fomm_cli.acquire.table import (
    Cut,
    collect,
    crop_of,
    read_table,
    safe_id,
    select,
    write_table,
)
from fomm_cli.errors import FommError
from fomm_cli.shards import Shard, parse_shard, shard_of_environment

HEAD = "video_id,start,end,bbox,fps,width,height,partition,person_id\n"
ROW = "WMh3ye5tBsE,3657,3994,624-48-1018-553,25,1280,720,train,id10005\n"


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def cut(**changes: object) -> Cut:
    values = {"video": "v", "start": 0, "end": 10, "box": (10, 10, 50, 50), "fps": Fraction(25), "width": 128,
              "height": 96, "partition": "train"}  # fmt: skip
    return Cut(**{**values, **changes})  # type: ignore[arg-type]


def test_a_published_row(tmp_path: Path) -> None:
    (one,) = read_table(table(tmp_path, HEAD + ROW)).cuts
    assert one.name == "id10005#WMh3ye5tBsE#003657#003994"
    assert one.box == (624, 48, 1018, 553)
    assert crop_of(one, 1280, 720, "stretch") == (624, 48, 394, 505)


def test_a_table_without_persons_and_ids_that_look_like_options(tmp_path: Path) -> None:
    text = HEAD.replace(",person_id", "") + "-bcDEF_hijk,80,300,118-82-508-472,29.97,640,480,test\n"
    (one,) = read_table(table(tmp_path, text)).cuts
    assert (one.name, one.partition, one.fps) == ("-bcDEF_hijk#000080#000300", "test", Fraction(2997, 100))


def test_equal_rows_are_one_clip_and_both_partitions_are_test(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, HEAD + ROW + ROW + ROW.replace("train", "test")))
    assert (found.rows, len(found.cuts), found.repeated, found.moved) == (3, 1, 2, 1)
    assert found.cuts[0].partition == "test"
    assert collect([cut(partition="test"), cut()]).cuts[0].partition == "test"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WMh3ye5tBsE", "../../etc/passwd"),
        ("WMh3ye5tBsE", "a/b"),
        ("WMh3ye5tBsE", "a\\b"),
        ("WMh3ye5tBsE", ".."),
        ("WMh3ye5tBsE", "ytid#000001#000002"),
        ("WMh3ye5tBsE", "%(title)s"),
        ("WMh3ye5tBsE", "x" * 200),
        ("id10005", "../up"),
        ("train", "../train"),
        ("3657,3994", "3994,3657"),
        ("3657,3994", "0,0"),
        ("3657,3994", "-5,10"),
        ("624-48-1018-553", "624-48-1018"),
        ("624-48-1018-553", "1018-48-624-553"),
        ("624-48-1018-553", "1300-48-1400-553"),
        (",25,", ",0,"),
        (",25,", ",nan,"),
        (",25,", ",25/0,"),
        (",25,", ",1e-99999999,"),
        ("1280,720", "0,720"),
        (",id10005", ",id10005,more"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(FommError, match="line 3"):
        read_table(table(tmp_path, HEAD + ROW + ROW.replace(old, new)))


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="no column 'fps'"):
        read_table(table(tmp_path, HEAD.replace("fps", "rate") + ROW))
    with pytest.raises(FommError, match="web page"):
        read_table(table(tmp_path, "<!DOCTYPE html><html></html>"))


def test_writing_and_reading_is_the_same(tmp_path: Path) -> None:
    cuts = [
        cut(video="a", fps=Fraction(30000, 1001), person="p"),
        cut(video="b", box=(-5, -3, 60, 70), partition="test", person="q"),
    ]
    write_table(tmp_path / "new.csv", cuts)
    again = read_table(tmp_path / "new.csv").cuts
    assert [one.name for one in again] == [one.name for one in cuts]
    assert [one.box for one in again] == [one.box for one in cuts]
    assert again[0].frames(Fraction(30000, 1001)) == range(10)


def test_frames_at_the_rate_of_the_video() -> None:
    one = cut(start=100, end=200, fps=Fraction(25))
    assert one.frames(Fraction(25)) == range(100, 200)
    assert one.frames(Fraction(50)) == range(200, 400)
    assert one.frames(Fraction(30)) == range(120, 240)
    rate = Fraction(24)
    wanted = [i for i in range(400) if one.start * rate <= i * one.fps < one.end * rate]
    assert list(one.frames(rate)) == wanted


def test_a_rate_of_two_decimals_means_the_exact_one() -> None:
    one = cut(start=90_000, end=90_300, fps=Fraction("29.97"))
    assert one.frames(Fraction(30000, 1001)) == range(90_000, 90_300)


def test_boxes_are_scaled_and_clipped() -> None:
    one = cut(box=(-10, 20, 70, 130), width=128, height=96)
    assert crop_of(one, 128, 96, "stretch") == (0, 20, 70, 76)
    assert crop_of(one, 256, 192, "stretch") == (0, 40, 140, 152)
    assert crop_of(one, 64, 48, "stretch") == (0, 10, 35, 38)


def test_square_boxes_keep_their_centre_where_they_fit() -> None:
    assert crop_of(cut(box=(40, 20, 60, 60)), 128, 96, "square") == (30, 20, 40, 40)
    assert crop_of(cut(box=(0, 20, 20, 60)), 128, 96, "square") == (0, 20, 40, 40)  # shifted in, not shrunk
    left, top, width, height = crop_of(cut(box=(0, 0, 128, 96)), 128, 96, "square")
    assert (left, width, height) == (0, 128, 128)
    assert top == -16  # the picture is too low for it: as much beyond on either side


def test_a_square_box_is_left_alone() -> None:
    for box in ((40, 20, 80, 60), (0, -16, 128, 112)):
        placed = crop_of(cut(box=box), 128, 96, "square")
        assert (placed.left, placed.top, placed.left + placed.width, placed.top + placed.height) == box


def test_select() -> None:
    cuts = [cut(video=f"v{i % 4}", start=i, end=i + 1, partition="test" if i % 3 == 0 else "train") for i in range(24)]
    assert {one.partition for one in select(cuts, "test")} == {"test"}
    assert select(cuts, subset=5) == cuts[:5]
    shares = [select(cuts, shard=Shard(index, 3)) for index in (1, 2, 3)]
    assert sorted(one.start for share in shares for one in share) == list(range(24))
    assert all(
        {a.video for a in shares[i]}.isdisjoint({b.video for b in shares[j]}) for i in range(3) for j in range(i)
    )
    with pytest.raises(FommError):
        select(cuts, "val")


def test_shards() -> None:
    assert parse_shard("2/4") == Shard(2, 4)
    for text in ("0/4", "5/4", "2", "a/b", "1/", "-1/2"):
        with pytest.raises(FommError):
            parse_shard(text)
    assert shard_of_environment({"RANK": "1", "WORLD_SIZE": "4"}) == Shard(2, 4)
    assert shard_of_environment({"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}) == Shard(1, 3)
    assert shard_of_environment({}) == Shard()


@pytest.mark.parametrize("text", ["-abc", "a.b", "A_b-9", "x" * 120])
def test_safe_ids(text: str) -> None:
    assert safe_id(text)


@pytest.mark.parametrize("text", ["", ".a", "a b", "a/b", "ä", "a\n", "a%", "a#b", "x" * 121])
def test_unsafe_ids(text: str) -> None:
    assert not safe_id(text)

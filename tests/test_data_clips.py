"""Clips of every layout give the frame that is asked for; what is no clip says why; the split is stable and fair."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.data.clips import ClipRef, find_clip, open_clip
from fomm_cli.data.packed import Packing
from fomm_cli.data.packed import write_clip as write_packed
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError
from fomm_cli.media.image import fit
from fomm_cli.media.video import read_frames
from tests.clips import turn
from tests.clips import write_clip as write_video
from tests.data_material import folder, number, pictures, strip, strips

VIDEOS = {
    "long.mp4": {"codec": "libx264", "options": {}},
    "a.webm": {"codec": "libvpx-vp9"},
    "a.mkv": {"codec": "libx264"},
    "a.mov": {"codec": "libx264"},
    "a.avi": {"codec": "mpeg4"},
    "a.mpg": {"codec": "mpeg1video"},
    "a.gif": {"codec": "gif", "pixels": "rgb8"},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for name, how in VIDEOS.items():
        write_video(root / name, pictures(24), **how)  # type: ignore[arg-type]
    return root


@pytest.mark.parametrize("name", VIDEOS)
def test_any_frame_of_a_video_is_the_one_that_reading_in_order_gives(videos: Path, name: str) -> None:
    clip = open_clip(videos / name)
    inorder = list(read_frames(videos / name))
    assert len(clip) == len(inorder) == 24
    assert clip.size == (32, 32)
    for index in (23, 0, 13, 12, 1):
        np.testing.assert_array_equal(clip.frame(index), inorder[index])
    late, early = clip.frames([20, 3])
    np.testing.assert_array_equal(late, inorder[20])
    np.testing.assert_array_equal(early, inorder[3])
    assert sum(1 for _ in clip) == 24
    assert clip.rate == 25


def test_containers_that_know_their_key_frames_are_entered_there(videos: Path) -> None:
    assert {name for name in VIDEOS if open_clip(videos / name).direct} == {"long.mp4", "a.webm", "a.mkv", "a.mov"}


def test_a_video_is_turned_as_its_file_says(tmp_path: Path) -> None:
    wide = [np.concatenate([frame, frame], axis=1) for frame in pictures(4)]
    path = write_video(tmp_path / "turned.mp4", wide)
    turn(path, 90)
    clip = open_clip(path)
    assert clip.size == (64, 32)
    np.testing.assert_array_equal(clip.frame(2), list(read_frames(path))[2])


def test_folders_are_in_natural_order(tmp_path: Path) -> None:
    clip = open_clip(folder(tmp_path / "clip", pictures(12)))
    assert len(clip) == 12
    assert [number(clip.frame(index)) for index in range(12)] == list(range(12))
    assert [number(frame) for frame in clip] == list(range(12))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "L", "P"])
def test_strips_of_every_mode(tmp_path: Path, mode: str) -> None:
    clip = open_clip(strip(tmp_path / "strip.png", pictures(7), mode))
    assert (len(clip), clip.size, clip.direct) == (7, (32, 32), False)
    assert [number(frame) for frame in clip.frames([6, 0, 3])] == [6, 0, 3]
    frame = clip.frame(2)
    assert frame.shape == (32, 32, 3)
    assert frame.dtype == np.uint8
    if mode == "I;16":
        np.testing.assert_array_equal(frame[..., 1], pictures(7)[2][..., 0])  # value * 257 / 257


def test_transparent_parts_of_a_strip_lie_over_white(tmp_path: Path) -> None:
    wide = np.zeros((8, 16, 4), dtype=np.uint8)
    wide[:, 8:, 3] = 255
    Image.fromarray(wide).save(tmp_path / "strip.png")
    clear, black = open_clip(tmp_path / "strip.png").frames([0, 1])
    assert clear.min() == 255
    assert black.max() == 0


def test_an_image_that_is_no_strip_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (50, 32)).save(tmp_path / "photo.png")
    with pytest.raises(FommError, match="50x32 image, not a film strip"):
        open_clip(tmp_path / "photo.png")


def test_packed_clips_give_single_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    assert write_packed(path, pictures(11), Packing(lossless=True), rate=Fraction(30000, 1001)) == 11
    clip = open_clip(path)
    assert (len(clip), clip.size, clip.rate, clip.direct) == (11, (32, 32), Fraction(30000, 1001), True)
    np.testing.assert_array_equal(clip.frames([10, 2])[0], pictures(11)[10])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def png(side: int = 8) -> bytes:
    return Packing(lossless=True).encode(np.zeros((side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("members", "method", "words"),
    [
        ({"../../evil.png": png()}, zipfile.ZIP_STORED, "not the name of a frame"),
        ({"/etc/0.png": png()}, zipfile.ZIP_STORED, "not the name of a frame"),
        ({"deep/0.png": png()}, zipfile.ZIP_STORED, "not the name of a frame"),
        ({"0.exe": png()}, zipfile.ZIP_STORED, "not the name of a frame"),
        ({"0.png": b"\0" * 100_000}, zipfile.ZIP_DEFLATED, "compressed or encrypted"),
        ({"0.png": b""}, zipfile.ZIP_STORED, "claims 0 bytes"),
        ({}, zipfile.ZIP_STORED, "no frames"),
        ({"clip.json": b"{}"}, zipfile.ZIP_STORED, "no frames"),
    ],
)
def test_strange_zips_are_refused(tmp_path: Path, members: dict[str, bytes], method: int, words: str) -> None:
    with pytest.raises(FommError, match=words):
        open_clip(zip_of(tmp_path / "clip.zip", members, method))


def test_a_zip_made_by_other_means_is_a_clip(tmp_path: Path) -> None:
    clip = open_clip(
        zip_of(tmp_path / "clip.zip", {f"{index}.png": png() for index in range(11)} | {"clip.json": b"["})
    )
    assert len(clip) == 11
    assert clip.rate is None


@pytest.mark.parametrize("rate", ["1e99999999", "1/0", "-25", "nan", 25])
def test_a_note_with_a_strange_rate_tells_none(tmp_path: Path, rate: object) -> None:
    members = {"0.png": png(), "clip.json": json.dumps({"rate": rate}).encode()}
    assert open_clip(zip_of(tmp_path / "clip.zip", members)).rate is None


def test_an_encrypted_note_is_not_read(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "clip.zip", {"0.png": png(), "clip.json": b'{"rate": "25"}'})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of the last entry in the index
    path.write_bytes(data)
    clip = open_clip(path)
    assert (len(clip), clip.rate) == (1, None)


def test_damaged_zips_say_which_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    write_packed(path, pictures(3), Packing(lossless=True))
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x03\x04", 10)
    data[second + 50 : second + 60] = b"x" * 10
    path.write_bytes(data)
    clip = open_clip(path)
    assert number(clip.frame(2)) == 2
    with pytest.raises(FommError, match="frame 1"):
        clip.frame(1)
    data[second : second + 4] = b"xxxx"
    path.write_bytes(data)
    with pytest.raises(FommError, match="points to no member"):
        open_clip(path).frame(1)


def test_a_frame_that_would_unpack_to_gigabytes_is_refused(tmp_path: Path) -> None:
    data = bytearray(png())
    header = data.index(b"IHDR") + 4
    data[header : header + 8] = struct.pack(">II", 60_000, 60_000)
    data[header + 13 : header + 17] = struct.pack(">I", zlib.crc32(data[header - 4 : header + 13]))
    clip = open_clip(zip_of(tmp_path / "clip.zip", {"0.png": bytes(data)}))
    with pytest.raises(FommError, match="frame 0"):
        clip.frame(0)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.mp4", b"no video at all", "cannot be read"),
        ("a.mp4", b"", "is empty"),
        ("a.mp4", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git-LFS pointer"),
        ("a.png", b"<html>quota</html>", "web page"),
        ("a.png", b"\x89PNG and then nothing", "not a picture"),
        ("a.zip", b"PK but no zip", "no packed clip"),
        ("a.txt", b"words", "is no clip"),
    ],
)
def test_files_that_are_no_clips_say_why(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FommError, match=words):
        open_clip(tmp_path / name)


def test_missing_and_empty_clips(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="does not exist"):
        open_clip(tmp_path / "none.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FommError, match="no pictures"):
        open_clip(tmp_path / "empty")


def test_a_video_cut_short_in_the_middle_still_gives_what_is_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(24), options={"cluster_time_limit": "200"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    clip = open_clip(path)
    assert number(clip.frame(0)) == 0
    assert len(clip) < 24


def test_names_and_identities() -> None:
    ref = find_clip("id7#video#001.mp4")
    assert ref is not None
    assert (ref.name, ref.identity, ref.kind) == ("id7#video#001", "id7", "video")
    assert find_clip("plain.png") == ClipRef(Path("plain.png"), "plain", "strip")
    assert find_clip("notes.txt") is None


# ---------------------------------------------------------------------------------------------------------- the split


def test_folders_train_and_test_are_taken_as_they_are(tmp_path: Path) -> None:
    strips(tmp_path / "train", ["10", "2", "1"])
    strips(tmp_path / "test", ["7"])
    (tmp_path / "train" / "notes.txt").write_text("x")
    (tmp_path / "train" / ".hidden.png").write_text("x")
    split = find_split(tmp_path)
    assert [ref.name for ref in split.train] == ["1", "2", "10"]
    assert [ref.name for ref in split.test] == ["7"]
    assert [path.name for path in split.ignored] == ["notes.txt"]
    assert split.layout == "train/ and test/ folders"


def test_a_seeded_split_parts_identities(tmp_path: Path) -> None:
    strips(tmp_path, [f"id{person}#{clip}" for person in range(10) for clip in range(3)], count=1, side=8)
    split = find_split(tmp_path, seed=4)
    people = ({ref.identity for ref in split.train}, {ref.identity for ref in split.test})
    assert (len(people[0]), len(people[1])) == (8, 2)
    assert not people[0] & people[1]
    assert len(split.train) + len(split.test) == 30
    assert split == find_split(tmp_path, seed=4)
    assert any(find_split(tmp_path, seed=seed).test != split.test for seed in range(5))


def test_a_lone_identity_is_parted_by_clips_and_a_lone_clip_trains(tmp_path: Path) -> None:
    strips(tmp_path / "one", [f"id0#{clip}" for clip in range(5)], count=1, side=8)
    split = find_split(tmp_path / "one")
    assert (len(split.train), len(split.test)) == (4, 1)
    strips(tmp_path / "lone", ["only"])
    split = find_split(tmp_path / "lone")
    assert (len(split.train), len(split.test)) == (1, 0)


def test_train_alone_is_parted(tmp_path: Path) -> None:
    strips(tmp_path / "train", "abcde", count=1, side=8)
    split = find_split(tmp_path)
    assert (len(split.train), len(split.test)) == (4, 1)
    assert "train/ alone" in split.layout


def test_roots_without_clips_say_so(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="does not exist"):
        find_split(tmp_path / "none")
    with pytest.raises(FommError, match="No clips to train on"):
        find_split(tmp_path)
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(FommError, match="is a file"):
        find_split(tmp_path / "file")


# ------------------------------------------------------------------------------------------------------------ fitting


def test_fitting_cuts_the_long_side_and_never_squashes() -> None:
    frame = np.zeros((40, 100, 3), dtype=np.uint8)
    frame[:, 30:70] = 200  # the middle square
    fitted = fit(frame, (40, 40))
    assert fitted.min() == 200
    assert fit(frame, (20, 20)).shape == (20, 20, 3)
    assert fit(frame, (40, 100)) is frame
    assert fit(frame, (80, 160)).shape == (80, 160, 3)

"""Layouts of other programs: said at once, with what to do, instead of a set in which nothing can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fomm_cli.commands.app import main
from fomm_cli.data.check import check
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError
from tests.data_material import folder, pictures, strips


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "Test"])
def test_a_folder_beside_train_that_is_not_looked_at_is_said(tmp_path: Path, name: str) -> None:
    strips(tmp_path / "train", ["a", "b", "c", "d", "e"])
    strips(tmp_path / name, ["f"])
    split = find_split(tmp_path)
    assert (len(split.train), len(split.test)) == (4, 1)
    assert split.notes[0].startswith(f"{name}/ is not looked at: the clips to validate on lie in test/")
    assert split.notes[0] in check(tmp_path).warnings


@pytest.mark.parametrize("name", ["Train", "TRAIN", "training"])
def test_a_train_folder_that_is_spelled_otherwise_is_refused_with_the_right_name(tmp_path: Path, name: str) -> None:
    strips(tmp_path / name, ["a", "b"])
    (tmp_path / "Test").mkdir()
    with pytest.raises(FommError, match=f"has a folder {name}/") as caught:
        find_split(tmp_path)
    assert caught.value.hint == f"Rename it: mv {tmp_path / name} {tmp_path / 'train'}"


def test_clips_may_be_called_like_a_part(tmp_path: Path) -> None:
    for name in ("Training", "second", "plain"):
        folder(tmp_path / name, pictures(2))
    split = find_split(tmp_path)
    assert len(split.train + split.test) == 3
    assert not split.notes


def test_nested_folders_are_refused_with_a_name_to_use(tmp_path: Path) -> None:
    folder(tmp_path / "id1" / "video2" / "clip3", pictures(2))
    folder(tmp_path / "id0" / "video0" / "clip0", pictures(2))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FommError, match="holds no clips but folders of clips, such as id0/video0/clip0") as caught:
        find_split(tmp_path)
    assert caught.value.hint.endswith("id0#video0#clip0.")
    strips(tmp_path, ["one"])
    assert find_split(tmp_path)  # whatever else lies there, this one can be read


def test_nested_videos_and_links_that_lead_around(tmp_path: Path) -> None:
    inner = tmp_path / "set" / "id0" / "video"
    inner.mkdir(parents=True)
    (inner / "b.mp4").write_bytes(b"")
    with pytest.raises(FommError, match=r"such as id0/video/b\.mp4"):
        find_split(tmp_path / "set")
    (inner / "b.mp4").unlink()
    (inner / "a").symlink_to(tmp_path / "set")
    with pytest.raises(FommError, match="folders of clips"):
        find_split(tmp_path / "set")


def test_many_unreadable_clips_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(300):
        (tmp_path / f"clip{number}").mkdir()
        (tmp_path / f"file{number}.txt").touch()
    assert main(["dataset", "check", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("unreadable: ")]) == 21
    assert "unreadable: ... and 280 more; --json names all" in lines
    assert "ignored: ... and 280 more; --json names all" in lines
    assert len(lines) < 60

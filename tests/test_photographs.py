"""Photographs of people, and the bundled network that finds them: which moves, and how heads lie in what is seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fomm_cli.animate.heads import head_share, held, unlike
from fomm_cli.boxes import Box
from fomm_cli.commands.app import main
from fomm_cli.media.image import read_image, resize, write_image
from fomm_cli.weights.catalogue import SAMPLES

HEIGHT, WIDTH = 420, 900
PLACES = {0: (20, 60, 300), 1: (350, 20, 380), 2: (690, 200, 180)}
"""Left, top and height of each of three people."""


def heads_of(document: dict) -> list[float]:
    return [share for share in document["heads"] if share is not None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """group.png, three people; wide.png, one at the left; nobody.png; clip/, two frames of a person's square."""
    folder = tmp_path_factory.mktemp("photographs")
    person = read_image(SAMPLES["person"].portrait)
    height, width = person.shape[:2]
    group = np.full((HEIGHT, WIDTH, 3), (150, 160, 170), np.uint8)
    for left, top, tall in PLACES.values():
        group[top : top + tall, left : left + round(tall * width / height)] = resize(
            person, (tall, round(tall * width / height))
        )
    write_image(folder / "group.png", group)
    wide = np.full((height, 3 * width, 3), (150, 160, 170), np.uint8)
    wide[:, :width] = person
    write_image(folder / "wide.png", wide)
    write_image(folder / "nobody.png", group[:60, :340] // 2)
    for clip, square in (("clip", person[40 : 40 + width]), ("far", wide)):
        (folder / clip).mkdir()
        for number in range(2):
            write_image(folder / clip / f"{number}.png", np.roll(square, 3 * number, axis=1))
    return folder


@pytest.fixture
def run(tiny: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(source: str, *more: str, driving: str = "clip", code: int = 0) -> tuple[dict, str]:
        line = ["animate", str(folder / source), str(folder / driving), "--weights", str(tiny), "--json", "--force"]
        assert main([*line, "-o", str(tmp_path / "out"), *more]) == code
        out, err = capsys.readouterr()
        return json.loads(out or "{}"), " ".join(err.split())

    return run


def test_all_faces_of_a_photograph_move_and_nothing_else(run, folder: Path, tmp_path: Path) -> None:
    document, _ = run("group.png", "--face", "all")
    boxes = [Box(*face["box"]) for face in document["faces"]]
    assert len(boxes) == 3
    rest = np.ones((HEIGHT, WIDTH), bool)
    for box, (left, top, tall) in zip(boxes, PLACES.values(), strict=True):  # from left to right
        assert left < box.left + box.width / 2 < left + 0.75 * tall
        assert top < box.top + box.height / 2 < top + tall
        rest[max(box.top, 0) : box.top + box.height, max(box.left, 0) : box.left + box.width] = False
    source, frame = read_image(folder / "group.png"), read_image(tmp_path / "out" / "000001.png")
    np.testing.assert_array_equal(frame[rest], source[rest])
    assert all(0.5 < face["heads"][0] < 0.75 for face in document["faces"])  # 1.5 heads a side, as tiny has it


def test_a_face_by_its_number(run) -> None:
    document, _ = run("group.png", "--face", "2")
    (box,) = [Box(*face["box"]) for face in document["faces"]]
    assert 690 < box.left + box.width / 2 < 690 + 0.75 * 180
    assert run("group.png", "--face", "largest")[0]["faces"][0]["box"][2] > 2 * box.width * 0.9
    _, said = run("group.png", "--face", "3", code=1)
    assert "There is no face 3 in" in said
    assert "3 faces found" in said


def test_auto_finds_the_one_at_the_side(run, folder: Path) -> None:
    document, said = run("wide.png", "--crop-source", "auto")
    assert "Cut: source around the face" in said
    left, _, width, _ = document["crop_source"]
    assert left + width < 300  # of 720
    assert len(heads_of(document)) == 2
    assert "the head is " in said
    assert "fills" not in said


def test_no_face_is_an_error_with_the_way_out(run, tmp_path: Path) -> None:
    for words in (["--face", "all"], ["--face", "0"], ["--paste-back"]):
        _, said = run("nobody.png", *words, code=1)
        assert "No face was found in" in said
        assert "--face x,y,w,h" in said
    assert "in the middle, no face seen" in run("nobody.png", "--crop-source", "auto")[1]
    assert not list(tmp_path.glob("*.mp4"))


def test_heads_of_other_shares_are_said(run) -> None:
    document, said = run("wide.png", "--crop-source", "0,0,320,320", "--crop-driving", "40,60,150,150")
    source, driving = heads_of(document)
    assert driving > 1.3 * source
    assert f"The head fills {source:.0%} of the source's crop and {driving:.0%} of the clip's" in said
    assert "Cut both alike" in said
    _, said = run("group.png", "--face", "350,0,420,420", "--face", "0", "--crop-driving", "60,60,120,120")
    assert "The head fills" in said
    assert "crop of face 0 and" in said
    assert "crop of face 1 and" in said
    assert "The head fills" not in run("wide.png", driving="far")[1]  # both are framed alike


def test_a_head_in_the_pinned_border_is_said(run) -> None:
    _, said = run("group.png", "--face", "410,70,170,170")
    assert "The head lies in the pinned border (" in said
    assert "larger box, or less --pin" in said
    assert "pinned" not in run("group.png", "--face", "410,70,170,170", "--pin", "0")[1]
    assert "pinned" not in run("group.png", "--face", "all")[1]


def test_what_counts_as_unlike_and_as_held() -> None:
    assert unlike(0.5, None) == unlike(None, 0.5) == unlike(0.5, 0.64) == unlike(0.64, 0.5) == []
    assert len(unlike(0.5, 0.66)) == len(unlike(0.66, 0.5)) == 1
    box, every = Box(100, 100, 100, 100), (True,) * 4
    assert held((111.0, 111.0, 189.0, 189.0), box, every, 0.2) == []
    assert held(None, box, every, 0.2) == []
    (said,) = held((109.0, 111.0, 195.0, 189.0), box, (True, True, False, True), 0.2, " of face 1")
    assert said.startswith("The head of face 1 lies in the pinned border (left)")
    assert head_share((0.0, 0.0, 30.0, 50.0), Box(0, 0, 200, 100)) == 0.5

"""Whole pictures: parts that move are put back without a seam, everything else stays bit for bit."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomm_cli.animate import parts
from fomm_cli.animate.clip import animate_clip
from fomm_cli.animate.compose import Part
from fomm_cli.animate.parts import choose, head_box, parse_face
from fomm_cli.animate.patch import fade
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import Output, Paste, Settings
from fomm_cli.animate.whole import Whole
from fomm_cli.boxes import Box
from fomm_cli.commands.app import main
from fomm_cli.detectors.protocol import Detection
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.media.image import read_image, write_image
from tests.clips import write_clip
from tests.engines import GreyEngine, tiny_model
from tests.test_compose import picture

BOXES = ["10,8,60,60", "110,12,48,48", "100,90,80,80"]


@pytest.fixture(scope="module")
def engine() -> PlainEngine:
    return PlainEngine(tiny_model())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 200 x 160 pixels and three clips of 4, 3 and 2 frames."""
    folder = tmp_path_factory.mktemp("whole")
    write_image(folder / "group.png", picture(160, 200, 9))
    for clip in range(3):
        (folder / f"clip{clip}").mkdir()
        for number in range(4 - clip):
            write_image(folder / f"clip{clip}" / f"{number}.png", picture(32, 32, 10 * clip + number))
    return folder


def made(engine: Any, folder: Path, out: Path, paste: Paste, driving: str = "clip0", **more: Any) -> np.ndarray:
    """The frames (T, H, W, 3) of group.png by a clip."""
    settings = Settings(paste=paste, anchor="first", force=True, **more)
    animate_clip(engine, folder / "group.png", folder / driving, [Output(out)], settings)
    return np.stack([read_image(path) for path in sorted(out.glob("*.png"))])


def outside(*boxes: str) -> np.ndarray:
    """Where none of the boxes is, in the picture."""
    rest = np.ones((160, 200), bool)
    for text in boxes:
        left, top, width, height = (int(number) for number in text.split(","))
        rest[max(top, 0) : top + height, max(left, 0) : left + width] = False
    return rest


def test_all_outside_the_boxes_stays_and_the_anchor_is_the_picture(
    engine: PlainEngine, folder: Path, tmp_path: Path
) -> None:
    source, frames = read_image(folder / "group.png"), made(engine, folder, tmp_path / "out", Paste(tuple(BOXES)))
    assert frames.shape == (4, 160, 200, 3)
    rest = outside(*BOXES)
    for frame in frames:
        np.testing.assert_array_equal(frame[rest], source[rest])
    assert np.abs(frames[0].astype(int) - source).max() <= 1  # driven by its anchor, all of it is the source
    assert np.abs(frames[2].astype(int) - source).max() > 8


def test_each_face_by_its_own_clip_is_three_single_runs(engine: PlainEngine, folder: Path, tmp_path: Path) -> None:
    drive = tuple((number, folder / f"clip{number}") for number in (1, 2))
    together = made(engine, folder, tmp_path / "all", Paste(tuple(BOXES), drive))
    expected = np.stack([read_image(folder / "group.png")] * 4)
    for number, text in enumerate(BOXES):
        alone = made(engine, folder, tmp_path / f"one{number}", Paste((text,)), f"clip{number}")
        alone = alone[np.minimum(np.arange(4), len(alone) - 1)]  # --extend hold
        box = ~outside(text)
        expected[:, box] = alone[:, box]
    assert np.abs(together.astype(int) - expected).max() <= 1
    looped = made(engine, folder, tmp_path / "loop", Paste((BOXES[2],), ((0, folder / "clip2"),), "loop"))
    np.testing.assert_array_equal(looped[2:], looped[:2])
    stopped = made(engine, folder, tmp_path / "stop", Paste(tuple(BOXES), drive, "stop"))
    np.testing.assert_array_equal(stopped, together[:2])


@pytest.mark.parametrize("box", ["-20,-30,90,90", "140,-10,80,80", "-12,100,80,80", "150,110,90,90", "0,0,200,160"])
def test_a_side_beyond_the_picture_is_free(engine: PlainEngine, folder: Path, tmp_path: Path, box: str) -> None:
    source, frames = read_image(folder / "group.png"), made(engine, folder, tmp_path / "out", Paste((box,)))
    moved = np.abs(frames.astype(int) - source).max(axis=(0, 3))
    left, top, width, height = (int(number) for number in box.split(","))
    assert not moved[outside(box)].any()
    sides = {"left": (left > 0, moved[:, max(left, 0)]), "top": (top > 0, moved[max(top, 0)])}
    sides["right"] = (left + width < 200, moved[:, min(left + width, 200) - 1])
    sides["bottom"] = (top + height < 160, moved[min(top + height, 160) - 1])
    for held, edge in sides.values():
        assert not (held and edge.any())
        assert held or edge.any()


def test_pins_hold_the_border_and_leave_the_middle(engine: PlainEngine) -> None:
    source, drivings = picture(160, 200, 9), [picture(32, 32, seed) for seed in range(3)]

    def part(pin: float) -> Part:
        scene = Whole([Scene(Runner(engine), source, Box(40, 20, 100, 100))], Paste(pin=pin)).faces[0]
        poses = scene.runner.detect(drivings)
        return list(scene.draw(poses))[2]

    free, held = part(0), part(0.2)
    assert free.flow is not None
    assert held.flow is not None
    rest = np.stack(np.meshgrid(*[np.linspace(-1, 1, held.flow.shape[0])] * 2), axis=-1)
    assert np.abs(held.flow - rest)[[0, -1]].max() < 1e-6
    assert np.abs(held.flow - rest)[:, [0, -1]].max() < 1e-6
    middle = slice(len(rest) // 4, -len(rest) // 4)
    np.testing.assert_array_equal(held.flow[middle, middle], free.flow[middle, middle])


def test_fading_is_smoothstep_of_the_distance_to_the_nearest_side() -> None:
    down, across = fade((21, 41), (True, True, True, True), 0.25)
    mask = np.minimum.outer(down, across)
    y, x = np.mgrid[:21, :41]
    t = np.clip(np.minimum(np.minimum(x, 40 - x), np.minimum(y, 20 - y)) / 5, 0, 1)
    np.testing.assert_allclose(mask, t * t * (3 - 2 * t), atol=1e-6)
    down, across = fade((21, 41), (False, False, True, False), 0.25)
    assert down.min() == across[0] == 1
    assert across[-1] == 0
    assert all(np.min(each) == 1 for each in fade((8, 8), (True,) * 4, 0))


def test_overlapping_parts_share_the_place_in_any_order(engine: PlainEngine, folder: Path, tmp_path: Path) -> None:
    boxes = ["20,20,80,80", "70,40,80,80", "50,75,80,80"]
    frames = [made(engine, folder, tmp_path / "a", Paste(tuple(each))) for each in (boxes, boxes[::-1])]
    np.testing.assert_array_equal(*frames)
    source = read_image(folder / "group.png")
    np.testing.assert_array_equal(frames[0][:, outside(*boxes)], np.stack([source[outside(*boxes)]] * 4))
    assert np.abs(frames[0][0].astype(int) - source).max() <= 1
    with pytest.raises(FommError, match=r"Faces 0 and 1 overlap by 7.%: 20,20,80,80 and 30,20,80,80"):
        made(engine, folder, tmp_path / "b", Paste(("20,20,80,80", "30,20,80,80")))


def test_where_boxes_overlap_each_stands_still_at_the_middle(engine: PlainEngine) -> None:
    source = picture(160, 200, 9)
    boxes = [Box(20, 30, 90, 90), Box(80, 30, 90, 90)]
    patches = Whole([Scene(Runner(engine), source, box) for box in boxes], Paste()).patches
    weights = np.zeros((2, 160, 200))
    for weight, patch in zip(weights, patches, strict=True):
        weight[patch.rows, patch.columns] = patch.weight()
    assert np.minimum(*weights).max() == 0  # no place belongs to both: nothing shines through
    assert weights[0][75, 60] == weights[1][75, 130] == 1
    assert weights[:, 75, 94:96].max() < 0.05  # the middle of what they share
    for patch in patches:
        taper = patch.scene.taper
        assert taper is not None
        assert taper[8, 8] > 0.9
    assert patches[0].scene.taper[8, -3:].max() < 0.1 < patches[0].scene.taper[8, 5]  # type: ignore[index]


class Tinted(GreyEngine):
    """Without a flow, and everything it draws is redder and flatter than it should be."""

    def render(self, *given: Any) -> np.ndarray:
        drawn = super().render(*given).astype(float)
        return np.clip((drawn - 128) * 0.95 + 128 + (6, 0, -30), 0, 255).astype(np.uint8)


def test_colours_are_matched_at_the_border_once_and_within_bounds() -> None:
    source, ring = picture(160, 200, 9) // 2 + 60, (slice(30, 90), slice(40, 100))
    frames = {}
    for word in ("border", "off"):
        scene = Scene(Runner(Tinted()), source, Box(40, 30, 60, 60))
        whole = Whole([scene], Paste(colour_match=word, feather=0.3))
        frames[word] = whole.compose(list(scene.draw(scene.pose)))
    apart = {word: (frame[ring].astype(float) - source[ring]).mean(axis=(0, 1)) for word, frame in frames.items()}
    assert abs(apart["off"][0]) > 2
    assert abs(apart["border"][0]) < 0.7
    assert -30 + 8 - 2 < apart["border"][2] / apart["off"][2] * -30 < -30 + 8 + 2  # no more than eight levels
    with pytest.raises(FommError, match="gives no flow"):
        animate_clip(Tinted(), "x.png", "y.mp4", [], Settings(paste=Paste()))


class Seen:
    """Faces at known places."""

    boxes: tuple[tuple[float, float, float, float], ...] = ((90, 20, 150, 80), (10, 30, 90, 110), (160, 5, 170, 15))

    def __init__(self, path: Path | None) -> None:
        pass

    def faces(self, frame: np.ndarray) -> list[Detection]:
        return [Detection(box, 0.9) for box in self.boxes]


def test_which_faces(monkeypatch: pytest.MonkeyPatch, engine: PlainEngine) -> None:
    monkeypatch.setattr("fomm_cli.detectors.faces.FaceDetector", Seen)
    source, path = np.zeros((300, 400, 3), np.uint8), Path("group.jpg")

    def boxes(*words: str) -> list[Box]:
        return choose(source, path, words, engine, False, None)[0]

    left, right, small = boxes("0,1,2")  # from the left, whatever order they were found in
    assert all(a.left < b.left for a, b in pairwise((left, right, small)))
    assert boxes("largest") == [left]
    assert boxes("all") == [left, right]  # the third is smaller than 48 pixels
    assert boxes("2", "5,6,70,80") == [small, Box(0, 6, 80, 80)]
    with pytest.raises(FommError, match=r"no face 3 in group\.jpg: 3 faces") as refused:
        boxes("3")
    assert "Found (left, top, right, bottom): -6,6,106,118; " in refused.value.hint
    monkeypatch.setattr(Seen, "boxes", ())
    with pytest.raises(FommError, match=r"No face was found in group.jpg") as refused:
        boxes("largest")
    assert "--face x,y,w,h" in refused.value.hint
    monkeypatch.setattr(Seen, "boxes", tuple((60.0 * n, 0.0, 60.0 * n + 50, 50.0) for n in range(20)))
    crops, warnings = choose(np.zeros((100, 2000, 3), np.uint8), path, ["all"], engine, False, None)
    assert len(crops) == parts.MOST
    assert "Of 20 faces" in warnings[0]
    for text in ("nobody", "1,2,x", "-1"):
        with pytest.raises(FommError):
            parse_face(text)
    with pytest.raises(FommError, match="outside"):
        boxes("400,0,50,50")


def test_a_head_gets_room_and_stays_in_the_picture() -> None:
    box = head_box((100, 100, 180, 200), 1000, 1000)
    assert box.width == box.height == 160
    assert box.top + 80 == 150 - 8  # a twentieth higher than the head's middle
    assert head_box((30, 20, 110, 120), 1000, 1000)[:2] == (0, 0)
    assert head_box((0, 0, 80, 100), 1000, 1000)[:2] == (-16, -14)  # its middle is 24 pixels, 0.15 sides, aside


def test_the_command(tiny: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["animate", str(folder / "group.png"), str(folder / "clip0"), "--weights", str(tiny)]
    drive = ["--drive", f"1={folder / 'clip1'}", "--extend", "loop", "--feather", "0.2", "--pin", "0.1"]
    faces = ["--face", BOXES[0], "--face", BOXES[1]]
    out = ["-o", str(tmp_path / "out"), "--layout", "side-by-side", "--json"]
    assert main([*line, *faces, *drive, *out]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["size"] == [160, 200]
    assert [each["box"] for each in document["faces"]] == [[10, 8, 60, 60], [110, 12, 48, 48]]
    assert document["faces"][1]["driving"].endswith("clip1")
    assert read_image(tmp_path / "out" / "000000.png").shape == (160, 200 + 160 + 200, 3)
    assert main([*line, "--paste-back", "--crop-source", "center", "--max-size", "100", "-o", str(tmp_path / "m")]) == 0
    assert read_image(tmp_path / "m" / "000000.png").shape == (80, 100, 3)
    capsys.readouterr()
    for wrong, said in {
        ("--pin", "0.1"): "add --paste-back",
        ("--face", "0", "--crop-source", "center"): "give one of them",
        ("--face", "0", "--size", "64"): "--max-size",
        ("--face", "0", "--drive", "clip.mp4"): "Write its number",
        ("--face", "0", "--drive", "0=gone.mp4"): "does not exist",
        ("--face", "nobody"): "no face 'nobody'",
        ("--face", BOXES[0], "--drive", f"0={folder / 'clip1'}", "--loop", "cut"): "--loop",
    }.items():
        assert main([*line, *wrong, "-o", str(tmp_path / "w")]) == 2, wrong
        assert said in " ".join(capsys.readouterr().err.split())
    assert main([*line, *faces, "--drive", f"4={folder / 'clip1'}", "-o", str(tmp_path / "w")]) == 1
    assert "no face 4 to drive: 2 faces" in " ".join(capsys.readouterr().err.split())
    assert main([*line, *faces, "--layout", "keypoints", "-o", str(tmp_path / "w")]) == 1
    assert not (tmp_path / "w").exists()


def test_editors_are_told_where_the_parts_lie(
    tiny: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["animate", str(folder / "group.png"), str(folder / "clip0"), "--weights", str(tiny)]
    place = tmp_path / "where.json"
    faces = ["--face", "-20,12,60,60", "--face", BOXES[2], "--drive", f"1={folder / 'clip1'}"]
    assert main([*line, *faces, "--crop-json", str(place), "-o", str(tmp_path / "out")]) == 0
    told = json.loads(place.read_text())
    assert told["format"] == "fomm.crop/1"
    assert told["source"] == {"name": "group.png", "size": [200, 160]}
    assert told["frames"] == {"size": [200, 160], "count": 4, "rate": "25"}
    first, second = told["parts"]
    assert (first["box"], first["window"]) == ([-20, 12, 60, 60], [0, 12, 40, 60])
    assert first["held"] == ["top", "right", "bottom"]
    assert (second["driving"], second["pin"], second["feather"]) == ("clip1", 0.2, 0.1)
    taper = np.array(second["taper"])
    assert taper.max() == 1
    assert taper[0].max() == taper[:, -1].max() == 0
    left, top, *_ = second["box"]
    corner = np.array(second["matrix"]) @ (left - 0.5, top - 0.5, 1)  # its outer edge is the network's
    np.testing.assert_allclose(corner, -0.5, atol=1e-3)
    assert second["network"] == [32, 32]
    assert main([*line, "--crop-json", str(place), "-o", str(tmp_path / "two"), "--crop-source", "20,10,80,80"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()
    alone = [*line, "--crop-json", str(place), "--force", "--crop-source", "20,10,80,80"]
    assert main([*alone, "-o", str(tmp_path / "two")]) == 0
    told = json.loads(place.read_text())
    assert told["frames"]["size"] == [32, 32]
    assert [part["box"] for part in told["parts"]] == [[20, 10, 80, 80]]
    assert main([*line, *faces, "--crop-json", str(folder / "group.png"), "--force", "-o", str(tmp_path / "x")]) == 1
    assert "is an input" in " ".join(capsys.readouterr().err.split())


def test_sound_and_count_stay(tiny: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "talk.mp4", [picture(32, 32, seed) for seed in range(6)], sound="aac")
    out = tmp_path / "out.mp4"
    line = ["animate", str(folder / "group.png"), str(clip), "--weights", str(tiny), "--face", BOXES[2]]
    assert main([*line, "-o", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["frames"], document["sound"], document["size"]) == (6, True, [160, 200])

"""The set `portraits`: fit, rasteriser, figure and folder, on a face that the head model itself draws."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from fomm_cli.commands.app import main
from fomm_cli.data import toon
from fomm_cli.data.portraits import images
from fomm_cli.data.portraits.drawing import Look, Stage, turn
from fomm_cli.data.portraits.figure import Figure, Portrait, prepare
from fomm_cli.data.portraits.filmstrips import held_out
from fomm_cli.data.portraits.fit import fit, smooth_field
from fomm_cli.data.portraits.head import EYEBALLS, EYES, INNER_LIPS, LANDMARKS_OF_478, head_model
from fomm_cli.data.portraits.play import expressions, sample_acting
from fomm_cli.data.portraits.raster import rasterise
from fomm_cli.data.portraits.shot import draw_clip, part_boxes, sample_scene
from fomm_cli.data.portraits.surfaces import FACE, UnfitError

FLIP = np.diag([1.0, -1.0, 1.0])
SCALE = 7.0  # pixels a cm: the face is some 130 px high


def paint(yaw: float = 0.0, lids: float = 0.0, tone: float = 0.5, identity: int = 3) -> Portrait:
    """A bust of someone who does not exist: the model's head over shoulders, with true points and matte."""
    model = head_model()
    shape = model.neutral + 0.7 * model.identities[identity]
    shape = shape + lids * model.expressions[model.columns("eyeBlink")].sum(0)
    points = SCALE * (shape @ (turn(yaw, 0, 0) @ FLIP).T) + np.array([110, 120, 0])
    canvas = np.empty((275, 220, 3), np.float32)
    canvas[:] = np.linspace(0.3, 0.5, 275)[:, None, None] * np.array([0.8, 0.9, 1.2])
    matte = np.zeros((275, 220), np.float32)
    matte[215:, 20:200] = 1
    canvas[215:, 20:200] = (0.15, 0.15, 0.25)
    for part in ("head", "face"):
        triangles = model.triangles[part]
        hits = rasterise(points.astype(np.float32), triangles, 275, 220)
        depth = hits.take(triangles, points[:, 2:].astype(np.float32))
        shade = tone + 0.15 * (depth - depth.mean()) / depth.std()
        canvas.reshape(-1, 3)[hits.pixel] = shade * np.array([1.0, 0.8, 0.7])
        matte.reshape(-1)[hits.pixel] = 1
    found = np.zeros((478, 3), np.float32)
    found[LANDMARKS_OF_478] = points[model.landmarks]
    found[1], found[10], found[152] = (
        points[model.landmarks[30]],
        points[0] * 0 + [110, 50, 0],
        points[model.landmarks[8]],
    )
    for side in (0, 1):
        iris = points[EYEBALLS[side]].mean(0)
        found[468 + 5 * side : 473 + 5 * side] = iris + 4 * np.array(
            [[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]
        )
        lid = Image.new("1", (220, 275))
        ImageDraw.Draw(lid).polygon([tuple(p) for p in found[LANDMARKS_OF_478][EYES[side], :2]], fill=1)
        canvas[np.asarray(lid)] = 0.9
        y, x = np.mgrid[:275, :220]
        canvas[np.asarray(lid) & (np.hypot(x - iris[0], y - iris[1]) < 4)] = (0.2, 0.3, 0.4)
    return Portrait((canvas.clip(0, 1) * 255).astype(np.uint8), found, (matte * 255).astype(np.uint8))


@pytest.fixture(scope="module")
def figure() -> Figure:
    return prepare(paint())


def still(frames: int = 1, **values: float) -> toon.Motion:
    """A neutral motion with some fields set in every frame."""
    motion = vars(toon.neutral(frames)) | {
        k: torch.full_like(getattr(toon.neutral(frames), k), v) for k, v in values.items()
    }
    return toon.Motion(**motion)


def look(figure: Figure, frames: int = 1, side: float = 1.6 * FACE) -> Look:
    middle = figure.landmarks[27:36].mean(0)
    return Look(
        middle, side, np.zeros((frames, 3)), (1, 1, 1, 1), np.array([0, 0, 1.0]), 0.0, np.full((4, 3), 0.3), (0.2, 0.2)
    )


# The rasteriser


def test_the_nearest_triangle_wins_as_in_a_loop_over_all_pixels() -> None:
    random = np.random.default_rng(0)
    vertices = (random.random((30, 3)) * 40 - 4).astype(np.float32)
    triangles = random.integers(0, 30, (25, 3))
    hits = rasterise(vertices, triangles, 32, 32)
    best = np.full((32, 32), -np.inf)
    owner = np.full((32, 32), -1)
    for number, (a, b, c) in enumerate(vertices[triangles].astype(float)):
        area = np.cross([*(b - a)[:2], 0], [*(c - a)[:2], 0])[2]
        if abs(area) < 1e-9:
            continue
        y, x = np.mgrid[:32, :32]
        one = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
        two = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
        depth = a[2] + one * (b[2] - a[2]) + two * (c[2] - a[2])
        seen = (one >= 0) & (two >= 0) & (one + two <= 1) & (depth > best)
        best[seen], owner[seen] = depth[seen], number
    mine = np.full(32 * 32, -1)
    mine[hits.pixel] = hits.triangle
    assert (mine.reshape(32, 32) == owner).mean() > 0.995  # a pixel on an edge may go either way
    same = mine[hits.pixel] == owner.ravel()[hits.pixel]
    found = hits.take(triangles, vertices[:, 2:])[:, 0]
    np.testing.assert_allclose(found[same], best.ravel()[hits.pixel][same], atol=1e-3)
    np.testing.assert_allclose(hits.weights.sum(1), 1, atol=1e-4)


def test_nothing_in_the_frame_is_no_error() -> None:
    far = np.array([[100, 100, 0], [101, 100, 0], [100, 101, 0]], np.float32)
    assert len(rasterise(far, np.array([[0, 1, 2]]), 8, 8).pixel) == 0


# The fit


def test_a_drawn_head_is_found_where_it_was_put() -> None:
    model = head_model()
    shape = model.neutral + model.identities[2] - 0.5 * model.identities[5]
    shape = shape + 0.6 * model.expressions[model.names.index("jawOpen")]
    rotation = turn(0.2, -0.1, 0.05) @ FLIP
    points = 9 * (shape[model.landmarks] @ rotation.T)[:, :2] + np.array([50, 70])
    found = fit(model, points)
    np.testing.assert_allclose(found.angles, np.degrees([0.2, -0.1, 0.05]), atol=2.5)
    assert found.scale == pytest.approx(9, rel=0.1)  # modes of identity change the size too
    assert np.sqrt((found.residual[17:] ** 2).sum(1).mean()) < 1.5
    assert found.expression[model.names.index("jawOpen")] == pytest.approx(0.6, abs=0.2)
    assert (found.expression >= 0).all()


def test_the_smooth_field_passes_its_points_and_fades() -> None:
    random = np.random.default_rng(1)
    places, moves = random.random((20, 2)) * 100, random.normal(0, 2, (20, 2))
    field = smooth_field(places, moves, 8.0)
    assert np.abs(field(places) - moves).mean() < 0.25 * np.abs(moves).mean()
    far = places.mean(0) + 128 * np.array([[1, 0], [0, 1], [-1, 0]])
    assert np.abs(field(far)).max() < 0.3


# The figure


def test_at_rest_the_drawing_is_the_picture(figure: Figure) -> None:
    frame = Stage(figure, look(figure), 64).frames(figure.rest[None], still())[0]
    side = 1.6 * FACE
    at = (np.arange(128) + 0.5) / 128 * side - side / 2
    middle = figure.landmarks[27:36].mean(0)
    x, y = np.meshgrid(middle[0] + at, middle[1] + at)
    truth = images.sample(np.concatenate([figure.colour, figure.matte[..., None]], 2), x, y)
    solid = (truth[..., 3] > 0.9) & (frame[..., 3] > 0.9)
    assert solid.mean() > 0.4
    assert np.abs(frame - truth)[solid][:, :3].mean() < 0.02
    assert (np.abs(frame[..., 3] - truth[..., 3]) > 0.5).mean() < 0.03


def test_a_blink_shuts_the_eyes_and_a_jaw_opens_the_mouth(figure: Figure) -> None:
    model = head_model()
    faces = np.repeat(figure.rest[None], 3, 0)
    faces[1, model.columns("eyeBlink")] = 1
    faces[2, model.columns("jawOpen")] = 0.8
    stage = Stage(figure, look(figure, 3), 64)
    rest, shut, wide = stage.frames(faces, still(3))

    def part(frame: np.ndarray, landmarks: slice) -> np.ndarray:
        where = stage.place(figure.landmarks[landmarks], still(), 0)
        (left, top), (right, bottom) = where.min(0).astype(int), where.max(0).astype(int) + 1
        return frame[top:bottom, left:right, :3]

    for side in (0, 1):
        bright = [(part(frame, EYES[side]).min(-1) > 0.6).mean() for frame in (rest, shut)]
        assert bright[0] > 0.1
        assert bright[1] < bright[0] / 2  # the white is gone
    (x, y), half = stage.place(figure.landmarks[INNER_LIPS], still(), 0).mean(0).astype(int), 12
    dark = [(frame[y - half : y + half, x - half : x + half, :3].max(-1) < 0.31).sum() for frame in (rest, wide)]
    assert dark[1] > dark[0] + 50  # the cavity


def test_a_head_turns_as_a_toons_does(figure: Figure) -> None:
    stage = Stage(figure, look(figure), 64)
    nose = figure.landmarks[[30]]
    ahead, aside = (stage.place(nose, still(yaw=yaw), 0)[0] for yaw in (0.0, 0.4))
    assert aside[0] > ahead[0] + 3  # to the right of the picture, as in `toon.Motion`
    assert stage.place(nose, still(pitch=0.3), 0)[0, 1] > ahead[1] + 2
    assert (
        stage.place(figure.landmarks[[8]], still(roll=0.3), 0)[0, 0]
        < stage.place(figure.landmarks[[8]], still(), 0)[0, 0]
    )


@pytest.mark.parametrize(
    ("portrait", "reason"),
    [
        (paint(lids=0.95), "eye is open"),
        (paint(yaw=0.5), "turned"),
        (paint()._replace(matte=np.zeros((275, 220), np.uint8)), "matte"),
        (paint()._replace(points=paint().points * 0.3), "less than 55"),
    ],
)
def test_what_cannot_be_moved_says_why(portrait: Portrait, reason: str) -> None:
    with pytest.raises(UnfitError, match=reason):
        prepare(portrait)


# Play


def test_relative_starts_at_the_source_and_follows_the_change(figure: Figure) -> None:
    mine, theirs = (sample_acting(0, number, 5, 3.0, True) for number in (1, 2))
    moved = mine.relative(theirs)
    assert torch.allclose(moved.motion.yaw[0], mine.motion.yaw[0])
    assert torch.allclose(moved.accents[0], mine.accents[0])
    change = theirs.accents[3] - theirs.accents[0]
    assert torch.allclose(moved.accents[3] - moved.accents[0], change, atol=1e-5)


def test_held_poses_move_only_the_face() -> None:
    acting = sample_acting(0, 5, 6, 3.0, False, still_pose=True)
    assert all(float(getattr(acting.motion, name).std(0).max()) == 0 for name in ("shift", "yaw", "roll", "scale"))
    shapes = expressions(acting, np.zeros(43, np.float32), 0.0)
    assert shapes.shape == (6, 43)
    assert shapes.min() >= 0
    assert shapes.max() <= 1.2
    assert shapes.std(0).max() > 0.02


def test_boxes_hold_eyes_and_mouth(figure: Figure) -> None:
    acting = sample_acting(0, 7, 4, 3.0, True, still_head=True)
    scene = sample_scene(np.random.default_rng(0), figure, 4, 3.0, 64, lambda _: np.zeros((1, 1, 3), np.uint8), True)
    boxes = part_boxes(figure, acting, scene, 64)
    assert boxes.shape == (4, 3, 4)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert (boxes[:, 0, 0] < boxes[:, 1, 0]).all()  # left eye of the picture first, mirrored or not
    assert (boxes[:, 2, 3] > boxes[:, 0, 3]).all()  # the mouth below
    film = draw_clip(figure, acting, scene, 64).astype(int)
    moved = np.abs(np.diff(film, axis=0)).sum(-1).astype(float)
    inside = np.zeros((64, 64), bool)
    for left, top, right, bottom in boxes[0]:
        inside[top:bottom, left:right] = True
    assert moved[:, inside].mean() > moved[:, ~inside].mean()


# The folder


def names(held: bool, count: int) -> list[str]:
    return [name for name in (f"person{i}" for i in range(200)) if held_out(name) == held][:count]


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people for training, one of them twice, two held out, one who blinks; points beside them."""
    folder = tmp_path_factory.mktemp("portraits")
    people = [*names(False, 2), *names(True, 2)]
    faces = [(name, paint(identity=i)) for i, name in enumerate(people)]
    faces += [(f"{people[0]}#2", paint(identity=0, tone=0.4)), ("blinker", paint(lids=0.95))]
    mattes = []
    for name, face in faces:
        Image.fromarray(face.picture).save(folder / f"{name}.png")
        stored = io.BytesIO()
        Image.fromarray(face.matte).save(stored, "PNG")
        mattes.append(np.frombuffer(stored.getvalue(), np.uint8))
    np.savez(
        folder / "points.npz",
        names=np.array([name for name, _ in faces]),
        points=np.stack([face.points for _, face in faces]),
        matte_png=np.concatenate(mattes),
        matte_offsets=np.cumsum([0, *(len(m) for m in mattes)]),
    )
    return folder


def synth(portraits: Path, out: Path, *more: str) -> int:
    words = ["dataset", "synth", "portraits", "--portraits", str(portraits), "--out", str(out), "--size", "32"]
    return main([*words, "--frames", "3", "--clips", "2", "--jobs", "1", *more])


def test_a_folder_of_portraits_becomes_a_training_set(
    portraits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    assert synth(portraits, out, "--pairs", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {"out": str(out), "train": 4, "test": 4, "pairs": 2, "drawn": 8, "kept": 0, "rejected": 1}
    strips = sorted(path.name for path in (out / "train").iterdir())
    assert strips == sorted(f"{name}#{clip}.png" for name in names(False, 2) for clip in (0, 1))
    assert np.asarray(Image.open(out / "train" / strips[0])).shape == (32, 96, 3)
    with (out / "rejected.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["portrait"].endswith("/blinker.png")
    assert "eye is open" in row["reason"]
    boxes = json.loads((out / "test-boxes.json").read_text())
    assert set(boxes["boxes"]) == {f"{name}#1" for name in names(True, 2)}
    for pair in ("000", "001"):
        source = np.asarray(Image.open(out / "pairs" / pair / "source.png"))
        relative = np.asarray(Image.open(out / "pairs" / pair / "relative.png"))
        assert np.abs(relative[:, :32].astype(int) - source).max() <= 2  # the start is the source
        assert np.abs(relative[:, 64:].astype(int) - source).mean() > 0.5
    assert Image.open(out / "sheet.png").width == 96

    # Again: everything is there. More clips: only those are drawn, and the others are the same.
    before = {path: path.read_bytes() for path in out.rglob("*#*.png")}
    assert synth(portraits, out, "--clips", "3", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["drawn"], report["kept"], report["rejected"]) == (2, 8, 1)
    assert all(path.read_bytes() == data for path, data in before.items())
    # Other settings would be another set.
    assert synth(portraits, out, "--seed", "1") == 1
    assert "other settings" in capsys.readouterr().err


def test_a_clip_depends_on_its_person_and_the_seed_alone(portraits: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    name = names(True, 1)[0]
    (alone / f"{name}.png").write_bytes((portraits / f"{name}.png").read_bytes())
    outs = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for out, seed, jobs in zip(outs, "001", "121", strict=True):
        more = ["--points", str(portraits / "points.npz"), "--seed", seed, "--jobs", jobs]
        assert synth(alone, out, *more) == 0
    one, two, three = ((out / "test" / f"{name}#0.png").read_bytes() for out in outs)
    assert one == two != three


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["toon", "--videos", "2", "--portraits", "x"], "needs no portraits"),
        (["toon"], "How many"),
        (["portraits"], "--portraits DIR"),
        (["portraits", "--portraits", "x", "--videos", "3"], "--clips"),
        (["portraits", "--portraits", "nowhere"], "is no folder"),
    ],
)
def test_wrong_wishes_are_answered(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "synth", *words, "--out", str(tmp_path / "out")]) == 1
    assert says in capsys.readouterr().err.replace("\n", " ")


def test_without_points_and_without_mediapipe_the_way_is_shown(
    portraits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh", None)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "me.png").write_bytes((portraits / "blinker.png").read_bytes())
    assert synth(alone, tmp_path / "out") == 1
    said = capsys.readouterr().err.replace("\n", " ")
    assert "MediaPipe" in said
    assert "fomm-cli[portraits]" in said


def test_damaged_points_are_refused(portraits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"PK\3\4 nothing")
    assert synth(portraits, tmp_path / "out", "--points", str(bad)) == 1
    assert "no file of face points" in capsys.readouterr().err.replace("\n", " ")

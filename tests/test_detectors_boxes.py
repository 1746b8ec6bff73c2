"""Boxes, shots and tracks, with detectors that are told what to see."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fomm_cli.boxes import Box, Edges, clip, grow, overlap, parse_box, square, union
from fomm_cli.detectors.faces import FaceDetector, suppress
from fomm_cli.detectors.fixed_box import fixed_box
from fomm_cli.detectors.protocol import Detection
from fomm_cli.detectors.tracking import BoxFinder, GivenBox, MotionFinder, Rules, ShotFinder, Track, find_tracks
from fomm_cli.errors import FommError

BLANK = np.zeros((96, 128, 3), np.uint8)


class Told:
    """A detector that sees what it was told, picture by picture."""

    def __init__(self, seen: list[list[Edges]]) -> None:
        self.seen, self.place, self.looks = seen, -1, 0

    def detect(self, frame: np.ndarray) -> list[Detection]:
        self.looks += 1
        self.place = int(frame[0, 0, 0])
        return [Detection(box, 0.9) for box in self.seen[self.place]]


def film(count: int) -> list[tuple[int, np.ndarray]]:
    """Numbered pictures that tell their number in one pixel."""
    frames = []
    for number in range(count):
        frame = BLANK.copy()
        frame[0, 0] = number
        frames.append((number, frame))
    return frames


def follow(seen: list[list[Edges]], rules: Rules | None = None, cuts: tuple[int, ...] = ()) -> list[Track]:
    finder = BoxFinder(Told(seen), rules)
    found = []
    for number, frame in film(len(seen)):
        found += finder.look(number, frame, number in cuts)
    return sorted([*found, *finder.finish()], key=lambda track: (track.start, track.box))


def test_overlap() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert union((0, 0, 2, 2), (1, -1, 3, 1)) == (0, -1, 3, 2)
    assert grow((0, 0, 10, 20), 0.1) == (-1, -2, 11, 22)
    assert clip((-1, -2, 11, 22), 10, 20) == (0, 0, 10, 20)


def test_squares() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        width, height = (int(side) for side in rng.integers(8, 400, 2))
        x, y = np.sort(rng.random(2)) * width, np.sort(rng.random(2)) * height
        check_square(clip((x[0], y[0], x[1] + 1, y[1] + 1), width, height), width, height, float(rng.random() / 2))


def check_square(box: Edges, width: int, height: int, pad: float) -> None:
    found = square(box, width, height, pad)
    assert found.width == found.height >= 1
    assert found.width >= round(max(box[2] - box[0], box[3] - box[1]))
    for low, side, limit in ((found.left, found.width, width), (found.top, found.height, height)):
        if side <= limit:
            assert low >= 0
            assert low + side <= limit
        else:
            assert abs((low + side - limit) + low) <= 1  # as much beyond on either side
    # What was found stays inside but for rounding, and the square given again is the same one.
    assert found.left <= box[0] + 1
    assert found.top <= box[1] + 1
    assert found.left + found.width >= box[2] - 1
    assert found.top + found.height >= box[3] - 1
    edges = (found.left, found.top, found.left + found.width, found.top + found.height)
    assert square(edges, width, height) == found


def test_padding_does_not_reach_beyond_a_picture_that_has_no_room() -> None:
    assert square((10, 0, 90, 90), 100, 96, pad=0.5) == Box(2, 0, 96, 96)
    assert square((0, 0, 120, 50), 128, 96, pad=0.0) == Box(0, -12, 120, 120)


def test_one_thing_is_one_track() -> None:
    seen = [[(10.0 + i, 10.0, 40.0 + i, 40.0)] for i in range(12)]
    (track,) = follow(seen)
    assert (track.start, track.end, track.box, track.why) == (0, 12, (10, 10, 51, 40), "end of video")


def test_a_thing_that_moves_away_from_its_first_box_becomes_another_track() -> None:
    seen = [[(10.0 + 3 * i, 10.0, 40.0 + 3 * i, 40.0)] for i in range(20)]
    tracks = follow(seen, Rules(iou=0.25, patience=0))
    assert len(tracks) > 1
    assert all(overlap(track.first, (track.box[2] - 30, 10, track.box[2], 40)) > 0.25 for track in tracks)
    assert [a.end <= b.start for a, b in pairwise(tracks)] == [True] * (len(tracks) - 1)


def test_two_things_are_two_tracks_however_they_are_listed() -> None:
    left, right = (0.0, 0.0, 30.0, 30.0), (60.0, 0.0, 90.0, 30.0)
    tracks = follow([[left, right] if i % 2 else [right, left] for i in range(8)])
    assert [(track.box, len(track)) for track in tracks] == [(left, 8), (right, 8)]


def test_a_thing_may_be_missed_for_a_while() -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    seen: list[list[Edges]] = [[box]] * 5 + [[]] * 3 + [[box]] * 5
    assert [(track.start, track.end) for track in follow(seen, Rules(patience=3))] == [(0, 13)]
    tracks = follow(seen, Rules(patience=2))
    assert [(track.start, track.end, track.why) for track in tracks] == [(0, 5, "lost"), (8, 13, "end of video")]


def test_cuts_and_lengths_end_tracks() -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    tracks = follow([[box]] * 20, Rules(max_frames=8), cuts=(5,))
    assert [(track.start, track.end, track.why) for track in tracks] == [
        (0, 5, "cut"),
        (5, 13, "max-frames"),
        (13, 20, "end of video"),
    ]


def test_looking_at_every_third_picture_finds_the_same_stretch() -> None:
    seen: list[list[Edges]] = [[(10.0, 10.0, 40.0, 40.0)]] * 30
    finder = BoxFinder(detector := Told(seen), Rules(every=3))
    for number, frame in film(30):
        assert not finder.look(number, frame, False)
    (track,) = finder.finish()
    assert (track.start, track.end) == (0, 30)
    assert detector.looks == 10


def blob(x: int, shade: int = 220, back: int = 30) -> np.ndarray:
    frame = np.full((96, 128, 3), back, np.uint8)
    frame[30:60, x : x + 30] = shade
    return frame


def test_shots() -> None:
    rng = np.random.default_rng(0)
    one = [blob(20 + 2 * i) for i in range(10)]
    two = [np.full((96, 128, 3), (200, 120, 40), np.uint8) for _ in range(10)]
    noisy = [
        np.clip(frame.astype(int) + rng.integers(-8, 9, frame.shape), 0, 255).astype(np.uint8) for frame in one + two
    ]
    shots = ShotFinder()
    assert [number for number, frame in enumerate(noisy) if shots.cut(frame)] == [10]


def test_fast_motion_and_slow_fades_are_no_cuts() -> None:
    shots = ShotFinder()
    assert not any(shots.cut(blob(x)) for x in [0, 20, 40, 60, 80, 60, 40])
    fade = [np.full((96, 128, 3), shade, np.uint8) for shade in range(0, 250, 10)]
    shots = ShotFinder()
    assert not any(shots.cut(frame) for frame in fade)


def test_motion_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(0, 255, (96, 128, 3), np.uint8)
    finder = MotionFinder()
    for number in range(20):
        frame = background.copy()
        frame[30:60, 40 + number : 70 + number] = 255
        finder.look(number, frame, False)
    (track,) = finder.finish()
    assert (track.start, track.end) == (0, 20)
    left, top, right, bottom = track.box
    assert abs(left - 40) < 8
    assert abs(right - 89) < 8
    assert abs(top - 30) < 5
    assert abs(bottom - 60) < 5


def test_a_still_shot_has_no_motion_and_says_so() -> None:
    finder = MotionFinder()
    for number in range(5):
        finder.look(number, blob(20), False)
    (track,) = finder.finish()
    assert track.score == 0
    assert track.why == "nothing moves"


def test_shots_split_every_kind_of_track() -> None:
    frames = [blob(10 + i) for i in range(8)] + [blob(60 + i, 40, 230) for i in range(8)]
    for finder in (MotionFinder(), GivenBox((10, 10, 60, 60)), BoxFinder(Told([[(5.0, 5.0, 50.0, 50.0)]] * 256))):
        tracks = list(find_tracks(enumerate(frames), finder))
        assert [(track.start, track.end) for track in tracks] == [(0, 8), (8, 16)]


def test_given_boxes() -> None:
    assert parse_box("10, 20,30,40") == (10, 20, 30, 40)
    assert parse_box("-5,0,30,40") == (-5, 0, 30, 40)
    assert parse_box("face") is None
    with pytest.raises(FommError):
        parse_box("10,20,0,40")


def test_fixed_boxes() -> None:
    assert fixed_box([blob(40 + i) for i in range(10)], "motion").width < 70
    seen: list[list[Edges]] = [[(50.0, 30.0, 70.0, 50.0), (0.0, 0.0, 10.0, 10.0)], [], [(54.0, 30.0, 74.0, 50.0)]]
    box = fixed_box((frame for _, frame in film(3)), "face", detector=Told(seen))
    assert box == (44, 22, 36, 36)  # around 50..74 x 30..50, made square, and 0.3 of the head's 20 added on each side
    assert fixed_box((frame for _, frame in film(3)), "face", detector=Told(seen), framing=1) == (50, 28, 24, 24)
    with pytest.raises(FommError):
        fixed_box(BLANK, "nose")
    for frames, method in (([], "motion"), ([BLANK, BLANK], "motion"), (BLANK, "face")):
        with pytest.raises(FommError):
            fixed_box(frames, method, detector=Told([[]]))


def test_of_overlapping_boxes_the_surest_is_kept() -> None:
    found = [Detection((0, 0, 10, 10), 0.8), Detection((1, 0, 11, 10), 0.9), Detection((40, 0, 50, 10), 0.7)]
    assert [one.score for one in suppress(found)] == [0.9, 0.7]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of RFB-320's shape whose first box lies on the picture's red and whose others see nothing.

    score of box 0 = share of the picture that is red; its place is always the middle quarter.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    boxes = np.zeros((1, 4420, 4), np.float32)
    boxes[0, 0] = (0.25, 0.25, 0.75, 0.75)
    spread = np.zeros((1, 4420, 2), np.float32)
    spread[0, 0, 1] = 1.0
    constants = [
        numpy_helper.from_array(boxes, "places"),
        numpy_helper.from_array(spread, "spread"),
        numpy_helper.from_array(np.array([0], np.int64), "zero"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    ]
    nodes = [
        helper.make_node("Slice", ["input", "zero", "one", "one"], ["red"]),
        helper.make_node("ReduceMax", ["red"], ["level"], keepdims=0),
        helper.make_node("Mul", ["spread", "level"], ["scores"]),
        helper.make_node("Identity", ["places"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "face",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 240, 320])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4420, 2]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4420, 4]),
        ],
        constants,
    )
    path = tmp_path_factory.mktemp("network") / "face.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_the_face_network_is_fed_and_read_right(network: Path) -> None:
    detector = FaceDetector(network)
    bright = np.full((480, 640, 3), (255, 0, 0), np.uint8)
    (face,) = detector.faces(bright)
    assert face.box == pytest.approx((160, 120, 480, 360))  # of 640 x 480, which has the network's proportions
    tall = np.full((480, 240, 3), (255, 0, 0), np.uint8)  # shown at half size at the left of the network's picture
    (face,) = detector.faces(tall)
    assert face.box == pytest.approx((160, 120, 480, 360))
    (head,) = detector.detect(bright)
    assert head.box[0] < 160
    assert head.box[1] < 120
    assert not detector.detect(np.zeros((48, 64, 3), np.uint8))


def test_what_is_no_face_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(FommError):
        FaceDetector(tmp_path / "x.onnx")
    with pytest.raises(FommError):
        FaceDetector(tmp_path / "absent.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (tmp_path / "y.onnx").write_bytes(b"x")
    with pytest.raises(FommError, match="onnxruntime") as caught:
        FaceDetector(tmp_path / "y.onnx")
    assert "fomm-cli[face]" in caught.value.hint

"""Detectors behind their protocol, run by real onnxruntime on networks built here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fomm_cli.commands.app import main
from fomm_cli.detectors import choice
from fomm_cli.detectors.bodies import BodyJoints, KeypointRcnn
from fomm_cli.detectors.faces import REFERENCE, FaceAlignment, align, cut, similarity
from fomm_cli.detectors.networks import NETWORKS, OnnxNetwork
from fomm_cli.errors import FommError

FACE = (16.0, 8.0, 48.0, 40.0)
"""Where the box network below sees a face in a 64x64 frame: left, top, right, bottom."""


def write(path: Path, nodes: list, shape: list[int], outputs: dict[str, list[int]], constants: dict) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A box network that always sees FACE, landmarks all in the middle of it but one, mean colour as identity."""
    folder = tmp_path_factory.mktemp("networks")
    # The box network looks at 320x240: a square frame fills its 240x240 at the left.
    left, top, right, bottom = (edge / 64 for edge in FACE)
    corners = np.array([[[left * 0.75, top, right * 0.75, bottom]]], np.float32)
    same = [helper.make_node("Identity", ["s"], ["scores"]), helper.make_node("Identity", ["b"], ["boxes"])]
    box = write(
        folder / "box.onnx",
        same,
        [1, 3, 240, 320],
        {"scores": [1, 1, 2], "boxes": [1, 1, 4]},
        {"s": np.array([[[0.1, 0.9]]], np.float32), "b": corners},
    )
    points = np.full((1, 143), 0.5, np.float32)
    points[0, [72, 84, 60, 96, 108]] = 0.3, 0.7, 0.5, 0.35, 0.65  # some width, so that the face can be aligned
    points[0, [73, 85, 61, 97, 109]] = 0.4, 0.4, 0.55, 0.7, 0.7
    landmarks = write(
        folder / "landmarks.onnx",
        [helper.make_node("Identity", ["p"], ["points"])],
        [1, 3, 160, 160],
        {"points": [1, 143]},
        {"p": points},
    )
    identity = write(
        folder / "identity.onnx",
        [helper.make_node("ReduceMean", ["input"], ["mean"], axes=[2, 3], keepdims=0)],
        [1, 3, 112, 112],
        {"mean": [1, 3]},
        {},
    )
    return {"face-box": box, "face-landmarks": landmarks, "face-identity": identity}


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def test_points_come_back_to_the_frame(networks: dict[str, Path], frame: np.ndarray) -> None:
    chosen = choice.build("face", ("akd",), {key: networks[key] for key in ("face-box", "face-landmarks")})
    assert chosen.embedding is None
    assert chosen.points is not None
    points = chosen.points.points(frame)
    assert points is not None
    assert points.shape == (68, 2)
    assert points[0] == pytest.approx([32, 24], abs=0.1), "the middle of the crop is the middle of the face's box"
    assert chosen.points.digest is not None
    assert chosen.points.digest.count("+") == 1


def test_no_face_is_none(networks: dict[str, Path], frame: np.ndarray) -> None:
    from fomm_cli.detectors.faces import FaceLandmarks

    assert FaceLandmarks(networks["face-landmarks"], lambda _: None).points(frame) is None


def test_identity_follows_the_face_only(networks: dict[str, Path]) -> None:
    chosen = choice.build("face", ("aed",), networks)
    assert chosen.embedding is not None
    red, blue = np.zeros((2, 64, 64, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    ours, theirs = chosen.embedding.embedding(red), chosen.embedding.embedding(blue)
    assert ours is not None
    assert theirs is not None
    assert np.linalg.norm(ours) == pytest.approx(1)
    assert np.linalg.norm(ours - theirs) > 0.5
    assert chosen.embedding.embedding(red) == pytest.approx(ours)


def test_alignment_puts_the_five_points_on_the_reference() -> None:
    rng = np.random.default_rng(2)
    points = (REFERENCE - 56) * 2.5 @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + 200
    matrix = similarity(points, REFERENCE)
    assert np.c_[points, np.ones(5)] @ matrix.T == pytest.approx(REFERENCE, abs=1e-6)
    frame = np.zeros((400, 400, 3), np.uint8)
    for x, y in points.round().astype(int):
        frame[y - 4 : y + 5, x - 4 : x + 5] = 255
    face = align(frame, points)
    assert face.shape == (112, 112, 3)
    for x, y in REFERENCE.round().astype(int):
        assert face[y, x, 0] > 100
    assert face[rng.integers(0, 20, 5), 100].max() < 20


def test_a_crop_beyond_the_frame_repeats_its_border() -> None:
    frame = np.zeros((20, 20, 3), np.uint8)
    frame[:, :10] = 200
    crop = cut(frame, (-10, -10, 10, 10), 40)
    assert crop.shape == (40, 40, 3)
    assert (crop[:, :36] == 200).all()


def test_body_joints_keep_proportions_and_drop_the_unsure() -> None:
    class Net:
        side, digest = 32, "d"

        def __call__(self, batch: np.ndarray) -> np.ndarray:
            assert batch.shape == (1, 32, 32, 3)
            self.seen = batch
            joints = np.zeros((1, 1, 17, 3), np.float32)
            joints[..., 0], joints[..., 1], joints[..., 2] = 0.5, 0.25, 0.9
            joints[0, 0, 3, 2] = 0.1
            return joints

    net = Net()
    points = BodyJoints(net).points(np.full((60, 120, 3), 255, np.uint8))
    assert points is not None
    assert points[0] == pytest.approx([30, 30]), "half of the padded height is half of the frame's own"
    assert np.isnan(points[3]).all()
    assert net.seen[0, 2].max() == 0, "padded above, not stretched"
    assert BodyJoints(net, confident=0.95).points(np.zeros((8, 8, 3), np.uint8)) is None


def test_face_alignment_takes_the_largest_face() -> None:
    class Net:
        def get_landmarks(self, frame: np.ndarray) -> list | None:
            small = np.arange(136.0).reshape(68, 2)
            return [small, small * 3] if frame.any() else None

    detector = FaceAlignment(Net())
    assert detector.points(np.zeros((4, 4, 3), np.uint8)) is None
    points = detector.points(np.ones((4, 4, 3), np.uint8))
    assert points is not None
    assert points[67].tolist() == [402, 405]


def test_keypoint_rcnn_takes_the_surest_person() -> None:
    import torch

    def net(images: list) -> list:
        assert images[0].shape == (3, 6, 8)
        keypoints = torch.arange(2 * 17 * 3.0).reshape(2, 17, 3)
        scores = torch.full((2, 17), 5.0)
        scores[1, 4] = 0
        return [{"scores": torch.tensor([0.8, 0.9]), "keypoints": keypoints, "keypoints_scores": scores}]

    points = KeypointRcnn(net).points(np.zeros((6, 8, 3), np.uint8))
    assert points is not None
    assert points[0].tolist() == [51, 52]
    assert np.isnan(points[4]).all()
    assert KeypointRcnn(net, sure=0.95).points(np.zeros((6, 8, 3), np.uint8)) is None


def test_refusals(networks: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FommError, match="no detectors called 'fase'") as error:
        choice.build("fase", ("akd",), {})
    assert "face" in error.value.hint
    with pytest.raises(FommError, match="no network 'facebox'"):
        choice.build("face", ("akd",), {"facebox": tmp_path})
    with pytest.raises(FommError, match="do not use"):
        choice.build("body", ("akd",), {"face-box": networks["face-box"]})
    with pytest.raises(FommError, match="cannot measure AED"):
        choice.build("body", ("akd", "aed"), {})
    with pytest.raises(FommError, match="does not exist"):
        choice.build("face", ("akd",), {"face-box": tmp_path / "none.onnx"})
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network at all")
    with pytest.raises(FommError, match="no network that onnxruntime can read"):
        OnnxNetwork(broken)
    monkeypatch.setattr(choice, "available", lambda suite: False)
    with pytest.raises(FommError) as missing:
        choice.build("face", ("akd",), networks)
    assert missing.value.hint == 'pip install "fomm-cli[face]"'


def test_what_cannot_be_fetched_says_where_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path))
    network = NETWORKS["face-landmarks"]

    def unreachable(*_: object, **__: object) -> None:
        raise FommError("No network.")

    monkeypatch.setattr("fomm_cli.files.download.fetch", unreachable)
    with pytest.raises(FommError, match="No network") as error:
        network.find()
    assert network.source in error.value.hint
    assert str(network.cached).startswith(str(tmp_path))


def test_the_table_names_licence_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "detectors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {suite["name"] for suite in found["detectors"]} == {"face", "body", "face-alignment", "keypoint-rcnn"}
    for network in found["networks"]:
        assert network["licence"]
        assert network["source"].startswith("https://github.com/")
        assert len(network["sha256"]) == 64
        assert all(url.startswith("https://") for url in network["urls"])
    assert main(["eval", "detectors"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out

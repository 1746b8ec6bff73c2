"""How faces are framed where nobody says: by the weights' own framing, where a face is seen, else in the middle."""

from __future__ import annotations

import importlib.util
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.animate.crops import cut, told
from fomm_cli.boxes import Box, Edges, center_box
from fomm_cli.commands.app import main
from fomm_cli.config.reading import build, load
from fomm_cli.detectors import faces
from fomm_cli.detectors.fixed_box import Face, find_face
from fomm_cli.detectors.networks import NETWORKS
from fomm_cli.detectors.protocol import Detection
from fomm_cli.files.disk import sha256
from fomm_cli.media.image import read_image
from fomm_cli.model.family import FRAMING
from fomm_cli.weights.catalogue import SAMPLES
from fomm_cli.weights.header import read_header
from tests.clips import shades, write_clip
from tests.engines import tiny_config, tiny_model

BLANK = np.zeros((90, 160, 3), np.uint8)


class Seen:
    """Sees one head in every picture."""

    def __init__(self, box: Edges | None, score: float = 0.99) -> None:
        self.box, self.score, self.looks = box, score, 0

    def detect(self, frame: np.ndarray) -> list[Detection]:
        self.looks += 1
        return [] if self.box is None else [Detection(self.box, self.score)]


def see(monkeypatch: pytest.MonkeyPatch, box: Edges | None, score: float = 0.99) -> Seen:
    seen = Seen(box, score)
    monkeypatch.setattr(faces, "FaceDetector", lambda path=None: seen)
    return seen


def auto(framing: float | None = 1.5, count: int = 1) -> tuple[Box | None, str]:
    return cut("auto", (90, 160), 1.0, lambda: [BLANK] * count, None, framing)


def test_a_head_fills_the_square_as_the_weights_have_it() -> None:
    face = Face((100.0, 40.0, 140.0, 80.0), 40.0)
    assert face.framed(400, 300, 1.5) == Box(90, 30, 60, 60)
    assert face.framed(400, 300, 1.0) == Box(100, 40, 40, 40)
    moving = Face((100.0, 40.0, 160.0, 80.0), 40.0)  # by half a head: as much more, and the same room around it
    assert moving.framed(400, 300, 1.5) == Box(90, 20, 80, 80)
    assert face.framed(60, 300, 1.5).width <= 60


def test_what_shows_the_face_about_so_already_stays() -> None:
    face = Face((30.0, 30.0, 70.0, 70.0), 40.0)
    assert face.fits(Box(20, 20, 60, 60), 100, 100, 1.5)
    assert face.fits(Box(14, 14, 72, 72), 100, 100, 1.5)
    assert not face.fits(Box(0, 0, 100, 100), 100, 100, 1.5)
    assert not face.fits(Box(31, 20, 60, 60), 100, 100, 1.5)


def test_auto_takes_the_face_or_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, (10.0, 20.0, 30.0, 40.0))
    assert auto() == (Box(5, 15, 30, 30), "around the face")
    see(monkeypatch, (50.0, 15.0, 110.0, 75.0))
    assert auto() == (None, "in the middle, where the face is")
    see(monkeypatch, None)
    assert auto() == (None, "in the middle, no face seen")
    see(monkeypatch, (10.0, 20.0, 30.0, 40.0), score=0.8)  # not sure enough where nobody asked for a face
    assert auto() == (None, "in the middle, no face seen")
    seen = see(monkeypatch, (10.0, 20.0, 30.0, 40.0))
    assert auto(framing=None) == (None, "")
    assert not seen.looks  # weights that know no faces: none is looked for


def test_long_clips_are_looked_at_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = see(monkeypatch, (10.0, 20.0, 30.0, 40.0))
    taken = []
    assert cut("auto", (90, 160), 1.0, lambda: (taken.append(0) or BLANK for _ in range(10_000)), None, 1.5).box
    assert len(taken) <= 250
    assert seen.looks < 60


def test_without_onnxruntime_it_is_the_middle_and_the_line_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    box, how = auto()
    assert box is None
    assert told(how, how) == "Cut: source and clip in the middle: faces are found with onnxruntime, " + (
        'pip install "fomm-cli[face]"'
    )


def test_what_is_told() -> None:
    assert told("", "") == ""
    assert told("around the face", "") == "Cut: source around the face"
    assert told("a", "b") == "Cut: source a; clip b"


def test_the_bundled_network_sees_the_bundled_person() -> None:
    network = NETWORKS["face-box"]
    assert sha256(network.cached) == network.sha256
    picture = read_image(SAMPLES["person"].portrait)
    height, width = picture.shape[:2]
    found = find_face([picture], faces.FaceDetector(), 0.9)
    assert found is not None
    assert found.fits(center_box(height, width), width, height, load("face-128").animate.framing or FRAMING)
    small = np.full((2 * height, 3 * width, 3), 90, np.uint8)
    small[:height, :width] = picture
    box, how = cut("auto", small.shape[:2], 1.0, lambda: [small], None, 1.4)
    assert how == "around the face"
    assert box is not None
    assert box.left >= 0
    assert box.left + box.width <= width + 16
    assert box.width < width * 1.1


def test_the_framing_is_a_field_of_the_weights_file(tmp_path: Path) -> None:
    from fomm_cli.weights.file import save_weights
    from fomm_cli.weights.load import load_model

    config = tiny_config("animate.framing=1.5")
    tree = config.model_dump(mode="json")
    assert tree["animate"]["framing"] == 1.5  # toon-64's
    tree["animate"]["framing"] = 2.0
    save_weights(tmp_path / "own.safetensors", tiny_model(), build(tree))
    assert load_model(tmp_path / "own.safetensors", "cpu").usual.framing == 2.0
    assert read_header(tmp_path / "own.safetensors").config.animate.framing == 2.0


def test_configs_from_before_it_take_that_of_their_preset_else_the_default() -> None:
    def framing(name: str) -> float | None:
        tree = load("vox-256").model_dump(mode="json")
        del tree["animate"]["framing"]
        return build({**tree, "name": name}).animate.framing

    assert framing("mine") == FRAMING == 1.6
    assert framing("face-128") == 1.5
    assert framing("taichi-256") is None  # whole bodies
    assert load("taichi-256", ["animate.framing=3"]).animate.framing == 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fomm_cli.weights.file import save_weights

    place = tmp_path_factory.mktemp("framing")
    save_weights(place / "tiny.safetensors", tiny_model(), tiny_config("animate.framing=1.5"))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)).save(place / "face.png")
    write_clip(place / "talk.mp4", shades(3), Fraction(10))
    return place


def test_the_command_says_how_it_cut(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--weights", str(folder / "tiny.safetensors"), "--device", "cpu", "--json"]
    line = ["animate", str(folder / "face.png"), str(folder / "talk.mp4"), *weights]
    see(monkeypatch, (4.0, 8.0, 24.0, 28.0))
    assert main([*line, "-o", str(tmp_path / "a.mp4")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["crop_source"] == [0, 3, 30, 30]
    assert "Cut: source and clip around the face" in err
    see(monkeypatch, None)
    assert main([*line, "-o", str(tmp_path / "b.mp4")]) == 0
    assert "Cut: source and clip in the middle, no face seen" in capsys.readouterr().err
    assert main([*line, "-o", str(tmp_path / "c.mp4"), "--crop-source", "face"]) == 1
    assert "No face was found" in capsys.readouterr().err
    assert not (tmp_path / "c.mp4").exists()

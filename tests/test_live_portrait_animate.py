"""LivePortrait from files to files: every option, pictures and clips as sources, what is refused and how."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.detectors import framing
from fomm_cli.detectors.protocol import Detection, PointDetector
from fomm_cli.engine.choose import make_engine
from fomm_cli.media.video import probe, read_frames
from fomm_cli.motion.file import load
from fomm_cli.weights.file import save_weights
from tests import live_portrait as lp
from tests.clips import write_clip

Ran = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights, a picture, a square clip with sound, its motion and a wide one."""
    folder = tmp_path_factory.mktemp("portrait")
    save_weights(folder / "tiny.safetensors", lp.model(), lp.config())
    Image.fromarray(frame("source", 96)).save(folder / "photo.png")
    clip = [blend(t) for t in np.linspace(0, 1, 5)]
    write_clip(folder / "clip.mp4", clip, Fraction(25), sound="aac")
    write_clip(folder / "wide.mp4", [np.concatenate([each, each[:, :40]], axis=1) for each in clip], Fraction(10))
    extract = ["motion", "extract", str(folder / "clip.mp4"), "-o", str(folder / "m.safetensors")]
    assert main([*extract, "--weights", str(folder / "tiny.safetensors"), "--device", "cpu"]) == 0
    return folder


def frame(name: str, side: int) -> NDArray[np.uint8]:
    return np.rint(255 * lp.picture(name, side)[0].permute(1, 2, 0).numpy()).astype(np.uint8)


def blend(t: float) -> NDArray[np.uint8]:
    return np.rint((1 - t) * frame("driving0", 64) + t * frame("driving1", 64)).astype(np.uint8)


@pytest.fixture
def ran(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """`fomm animate photo.png clip.mp4` with more arguments: its JSON, or its exit code and what it said."""

    def run(*more: str, source: str = "photo.png", driving: str = "clip.mp4", out: str = "o.mp4") -> dict[str, Any]:
        paths = [str(folder / source), str(folder / driving), "-o", str(tmp_path / out)]
        weights = ["--weights", str(folder / "tiny.safetensors"), "--device", "cpu"]
        crops = [] if "--crop-source" in more else ["--crop-source", "center"]
        code = main(["animate", *paths, *weights, *crops, *more, "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) | {"path": tmp_path / out} if code == 0 else {"code": code, "said": said.err}

    return run


def frames(path: Path) -> NDArray[np.float64]:
    return np.stack([np.asarray(each, dtype=np.float64) for each in read_frames(path)])


def test_a_picture_moves_twice_its_size(ran: Ran) -> None:
    done = ran("--engine", "plain")
    assert (done["frames"], done["size"], done["sound"]) == (5, [128, 128], True)
    assert probe(done["path"]).width == 128
    plain, quick = ran("--engine", "plain", out="plain"), ran(out="quick")
    assert "fused" in quick["engine"]
    assert np.abs(frames(plain["path"]) - frames(quick["path"])).max() <= 1


@pytest.mark.parametrize("option", ["region=exp", "region=pose", "region=lip", "stitching=false", "multiplier=0.5"])
def test_every_option_changes_the_picture(ran: Ran, option: str) -> None:
    usual, other = ran("--anchor", "first"), ran("--anchor", "first", "--set", option, out="other.mp4")
    difference = np.abs(frames(usual["path"]) - frames(other["path"])).mean(axis=(1, 2, 3))
    assert difference[-1] > 0.02, difference


def test_absolute_mode_and_a_single_driving_picture(ran: Ran, folder: Path) -> None:
    relative, absolute = ran(), ran("--mode", "absolute", out="absolute.mp4")
    assert np.abs(frames(relative["path"]) - frames(absolute["path"])).mean() > 0.1
    one = ran(driving="photo.png", out="one")
    assert one["frames"] == 1


def test_layouts_show_all_at_one_height(ran: Ran) -> None:
    for layout in ("side-by-side", "keypoints"):
        done = ran("--layout", layout, out=f"{layout}.mp4")
        info = probe(done["path"])
        assert (info.width, info.height) == (3 * 128, 128)


def test_unknown_options_name_the_known(ran: Ran) -> None:
    for option, word in (("regoin=lip", "region"), ("region=ear", "region"), ("multiplier=9", "multiplier")):
        refused = ran("--set", option)
        assert refused["code"] == 1
        assert word in refused["said"]


def test_pickled_motion_stays_closed(ran: Ran, folder: Path) -> None:
    (folder / "motion.pkl").write_bytes(b"\x80\x04N.")
    refused = ran(driving="motion.pkl")
    assert refused["code"] == 1
    assert "pickle" in refused["said"]


class Fixed:
    """Finds the same points, or none, in every frame."""

    name = "fixed"
    digest = None

    def __init__(self, points: NDArray[np.float64] | None) -> None:
        self.found = points

    def points(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        return self.found


def face(side: float, angle: float, wide: float = 0.3) -> NDArray[np.float64]:
    """68 points of a face that spans a third of a square."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return lp.face(wide) @ turn * side / 6 + side / 2


def see(monkeypatch: pytest.MonkeyPatch, points: NDArray[np.float64] | PointDetector | None) -> None:
    found = Fixed(points) if points is None or isinstance(points, np.ndarray) else points
    finder = framing.Finder(lambda _: None, found)
    monkeypatch.setattr(framing, "open_finder", lambda detector=None: finder)


class Talking:
    """Sees eyes and lips the wider the greener a frame is on average, and no face in a dark one."""

    name = "talking"
    digest = None

    def points(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        green = float(frame[..., 1].mean())
        return None if green < 20 else face(frame.shape[0], 0.0, (green - 100) / 100)


def test_portrait_crops_turn_with_the_face(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, face(96, 0.3))
    done = ran("--crop-source", "auto")
    _, _, width, height = done["crop_source"]
    assert abs(width - height) <= 1
    assert width > 96 * 2.3 / 3 * 1.1  # the upright box around a turned square
    see(monkeypatch, face(64, 0.0))
    wide = ran(driving="wide.mp4", out="wide.mp4")
    assert wide["crop_driving"][2] == wide["crop_driving"][3] < 64
    assert ran(out="square.mp4")["crop_driving"] == [0, 0, 64, 64]  # a square clip is taken whole


def test_turned_crops_are_put_back_too(ran: Ran, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = frame("source", 96)
    monkeypatch.setattr("fomm_cli.detectors.faces.FaceDetector", Boxed)
    monkeypatch.setattr(framing, "finder_of", lambda find: framing.Finder(find, Fixed(face(96, 0.3) * 0.6 + 20)))
    done = ran("--crop-source", "auto", "--face", "largest", out="whole")
    made = frames(done["path"])
    assert done["size"] == [96, 96]
    left, top, width, height = done["crop_source"]
    outside = np.ones((96, 96), bool)
    outside[max(top, 0) : top + height, max(left, 0) : left + width] = False
    assert outside.sum() > 500
    changed = np.abs(made - source).max(axis=(0, 3)) > 0
    assert not changed[outside].any()
    assert changed.mean() > 0.2
    box = ran("--crop-source", "auto", "--face", "20,20,60,60", out="box")  # the same, upright
    assert box["crop_source"] == [20, 20, 60, 60]
    assert not (np.abs(frames(box["path"]) - source).max(axis=(0, 3)) > 0)[:20].any()


class Boxed:
    """Sees one face."""

    def __init__(self, path: Path | None) -> None:
        pass

    def faces(self, frame: NDArray[np.uint8]) -> list[Detection]:
        return [Detection((30.0, 30.0, 60.0, 60.0), 0.9)]


def test_what_shows_no_face_is_sent_to_the_other_families(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, None)
    refused = ran("--crop-source", "auto")
    assert refused["code"] == 1
    said = " ".join(refused["said"].split())
    assert "No face was found" in said
    assert "for animals and drawings take weights of another family" in said


def test_a_source_clip_keeps_its_picture(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, face(64, 0.1))
    done = ran("--crop-source", "auto", source="wide.mp4", out="clip.mp4")
    assert (done["frames"], done["rate"], done["size"], done["sound"]) == (5, "10", [64, 104], True)
    made, given = frames(done["path"]), frames(Path(probe(done["path"]).path).parent / "clip.mp4")
    assert made.shape == given.shape
    smoother = ran("--crop-source", "auto", "--set", "smoothing=1e-2", source="wide.mp4", out="smooth.mp4")
    assert np.abs(frames(smoother["path"]) - made).mean() > 0
    rough = ran("--crop-source", "20,10,40,40", source="wide.mp4", out="box.mp4")
    assert rough["crop_source"] == [20, 10, 40, 40]


TOGETHER = {
    "a picture by a motion file": ("photo.png", "m.safetensors", "--set region=pose --set multiplier=0.7"),
    "a picture by a picture": ("photo.png", "photo.png", "--set region=eyes --set stitching=false"),
    "absolute, steered": ("photo.png", "clip.mp4", "--mode absolute --expression 0.5 --set region=exp"),
    "put back, steered": (
        "photo.png",
        "clip.mp4",
        "--crop-source auto --face largest --feather 0.2 --head 0.5 --smooth 0.3 --set stitching=false",
    ),
    "a clip by a clip": ("wide.mp4", "clip.mp4", "--crop-source auto --mode absolute --set smoothing=0 --lock turn"),
    "a clip by a motion file": ("wide.mp4", "m.safetensors", "--crop-source auto --set smoothing=1e-4 --anchor first"),
    "eyes as the driving's": ("photo.png", "clip.mp4", "--set eyes=driving --set lip=0.5 --expression 0.5"),
    "lips as the driving's": ("wide.mp4", "clip.mp4", "--crop-source auto --set lip=driving --smooth 0.5"),
    "a source at rest": ("wide.mp4", "clip.mp4", "--crop-source auto --set rest=all --set stitching=false"),
    "eyes as told": ("photo.png", "clip.mp4", "--set eyes=0.1"),
    "lips as told": ("photo.png", "clip.mp4", "--set lip=0.5"),
    "a clip with its eyes shut": ("wide.mp4", "clip.mp4", "--crop-source auto --set eyes=0"),
    "a clip by a picture": ("wide.mp4", "photo.png", "--crop-source auto --paste-back --set region=lip"),
}


@pytest.mark.parametrize("together", TOGETHER, ids=list(TOGETHER))
def test_options_go_together(ran: Ran, monkeypatch: pytest.MonkeyPatch, together: str) -> None:
    """Each from files to files, and each option changes what is made."""
    see(monkeypatch, face(64, 0.1))
    monkeypatch.setattr("fomm_cli.detectors.faces.FaceDetector", Boxed)
    monkeypatch.setattr(framing, "finder_of", lambda find: framing.Finder(find, Fixed(face(64, 0.1))))
    source, driving, text = TOGETHER[together]
    options = text.split()
    done = ran(*options, source=source, driving=driving, out="all")
    assert "path" in done, done
    assert done["frames"] == (1 if driving == source == "photo.png" else 5)
    whole = {"--crop-source", "--face", "--paste-back"}  # with what cannot be left out alone
    pairs = list(zip(options[::2], options[1::2], strict=False)) if "--paste-back" not in options else []
    made = frames(done["path"])
    for at, pair in enumerate(pairs):
        if pair[0] not in whole:
            others = [word for number, each in enumerate(pairs) if number != at for word in each]
            without = ran(*others, source=source, driving=driving, out=f"without{at}")
            assert np.abs(frames(without["path"]) - made).max() > 0, pair


@pytest.mark.parametrize(
    ("option", "source", "words"),
    [
        ("--loop cut", "wide.mp4", "A source clip takes no --loop"),
        ("--size 256", "wide.mp4", "A source clip takes no --size"),
        ("--background freeze", "wide.mp4", "A source clip takes no --background"),
        ("--crop-source auto --face all", "wide.mp4", "A source clip takes no --face"),
        ("--layout keypoints", "wide.mp4", "no other layout than result"),
        ("--mode avd", "photo.png", "no mode 'avd' in LivePortrait"),
        ("--no-adapt-scale", "photo.png", "always scaled in LivePortrait"),
        ("--set rest=eyes", "photo.png", "the eyes of a picture do not blink"),
        ("--set rest=lip --mode absolute", "photo.png", "In mode absolute lips are the driving's"),
        ("--set rest=lip --set eyes=0.2", "photo.png", "rest goes without eyes and lip"),
        ("--set eyes=followed", "photo.png", "or: Input should be 'driving'"),
    ],
)
def test_what_does_not_go_together_is_named(ran: Ran, option: str, source: str, words: str) -> None:
    refused = ran(*option.split(), source=source)
    assert refused["code"] == 1
    assert words in " ".join(refused["said"].split())


def test_what_is_opened_must_be_seen(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, None)
    for option in ("eyes=0.2", "rest=lip"):
        refused = ran("--set", option)
        assert refused["code"] == 1
        assert "No face was found in the source to tell how open eyes and lips are" in " ".join(refused["said"].split())


def test_eyes_and_lips_open_as_the_driving_s_do(
    ran: Ran, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frame by frame as if that opening were told for all; from the clip as from its motion, if that tells of it."""
    see(monkeypatch, Talking())
    clip = list(read_frames(folder / "clip.mp4"))
    seen = np.stack([framing.ratios(Talking().points(each)) for each in clip])
    assert np.ptp(seen, axis=0).min() > 0.02, seen
    usual = ["--anchor", "first", "--set"]
    followed = frames(ran(*usual, "eyes=driving", "--set", "lip=driving", out="followed")["path"])
    for row in (0, 4):
        left, _, lip = seen[row]
        told = ran(*usual, f"eyes={left}", "--set", f"lip={lip}", out=f"told{row}")
        np.testing.assert_array_equal(frames(told["path"])[row], followed[row])
        assert np.abs(frames(told["path"])[4 - row] - followed[4 - row]).max() > 0
    refused = ran(*usual, "eyes=driving", driving="m.safetensors")
    assert "The driving does not tell how open" in " ".join(refused["said"].split())
    assert "--openness" in refused["said"]
    motion = str(folder / "open.safetensors")
    weights = ["--weights", str(folder / "tiny.safetensors"), "--device", "cpu"]
    assert main(["motion", "extract", str(folder / "clip.mp4"), "-o", motion, *weights, "--openness"]) == 0
    np.testing.assert_allclose(load(motion).poses.openness, seen, atol=1e-6)
    assert capsys.readouterr().out.strip() == motion
    again = ran(*usual, "eyes=driving", "--set", "lip=driving", driving="open.safetensors", out="again")
    np.testing.assert_array_equal(frames(again["path"]), followed)
    bundled = ["motion", "extract", str(folder / "clip.mp4"), "-o", str(folder / "toon.safetensors"), "--openness"]
    assert main(bundled) == 1
    assert main([*bundled, "--private"]) == 2


def test_where_a_driving_face_is_lost_it_stays_as_open_as_it_was(
    folder: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, Talking())
    dark = np.zeros((64, 64, 3), np.uint8)
    write_clip(folder / "lost.mp4", [dark, blend(0), dark, blend(1), dark])
    extract = ["motion", "extract", str(folder / "lost.mp4"), "-o", str(folder / "lost.safetensors"), "--openness"]
    assert main([*extract, "--weights", str(folder / "tiny.safetensors"), "--device", "cpu"]) == 0
    openness = load(folder / "lost.safetensors").poses.openness
    np.testing.assert_array_equal(openness[[0, 2, 4]], openness[[1, 1, 3]])
    assert (openness[3] != openness[1]).all()
    write_clip(folder / "dark.mp4", [dark, dark])
    refused = ran("--set", "lip=driving", driving="dark.mp4")
    assert "dark.mp4 to tell how open eyes and lips are" in " ".join(refused["said"].split())


def test_lips_that_are_closed_need_no_rest(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    points = face(64, 0.0)
    points[62], points[66] = points[48], points[48] + (0, 0.02 * (points[54] - points[48])[0])
    see(monkeypatch, points)
    usual, closed = ran(out="usual"), ran("--set", "rest=lip", out="closed")
    np.testing.assert_array_equal(frames(usual["path"]), frames(closed["path"]))
    points[66] += (0, 0.3 * (points[54] - points[48])[0])
    assert np.abs(frames(usual["path"]) - frames(ran("--set", "rest=lip", out="parted")["path"])).max() > 0


def test_openness_is_read_with_the_face_network_that_is_named(ran: Ran, folder: Path) -> None:
    (folder / "mine.onnx").write_bytes(b"no network")
    for option in ("eyes=0.2", "lip=driving", "rest=lip"):
        refused = ran("--set", option, "--face-detector", str(folder / "mine.onnx"))
        assert refused["code"] == 1
        assert "mine.onnx" in refused["said"]


def test_other_families_refuse_source_clips(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["animate", str(folder / "clip.mp4"), str(folder / "clip.mp4"), "-o", str(tmp_path / "o.mp4")]) == 1
    assert "is no picture" in capsys.readouterr().err


def test_engines_for_it() -> None:
    assert make_engine(lp.model(), "plain").output_size == (128, 128)
    fused = make_engine(lp.model(), "fused", "fp32")
    assert fused.output_size == (128, 128)


def test_an_export_animates_without_torch(
    ran: Ran, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    exported = tmp_path / "export"
    assert main(["export", str(folder / "tiny.safetensors"), "-o", str(exported)]) == 0
    card = json.loads((exported / "export.json").read_text())
    assert card["output_size"] == [128, 128]
    assert card["agreement"]["psnr"] > 60
    code = (
        "import sys; from fomm_cli.commands.app import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; raise SystemExit(code)"
    )
    paths = [str(folder / "photo.png"), str(folder / "clip.mp4"), "-o", str(tmp_path / "onnx")]
    options = ["--weights", str(exported), "--crop-source", "center", "--set", "region=exp"]
    done = subprocess.run([sys.executable, "-c", code, "animate", *paths, *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    capsys.readouterr()
    plain = ran("--engine", "plain", "--set", "region=exp", out="plain")
    assert np.abs(frames(tmp_path / "onnx") - frames(plain["path"])).max() <= 1

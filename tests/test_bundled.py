"""The bundled weights are good, not merely present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import fomm_cli
from fomm_cli import Animator, load_model
from fomm_cli.commands.app import main
from fomm_cli.data.toon import draw, sample_identity, sample_motion
from fomm_cli.engine.choose import make_engine
from fomm_cli.evaluate.methods import Network
from fomm_cli.evaluate.toon import check
from fomm_cli.media.image import fit
from fomm_cli.media.video import probe, read_frames
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.losses import keypoint_spread
from fomm_cli.motion import file as motion_file
from fomm_cli.weights.catalogue import BUNDLED, MOTIONS, SAMPLES, sample_of

ASSETS = Path(fomm_cli.__file__).parent / "assets"


@pytest.fixture(scope="module", params=BUNDLED)
def model(request: pytest.FixtureRequest) -> FirstOrderModel:
    return load_model(request.param, device="cpu")


def test_the_bundled_weights_are_small_and_say_what_they_are(model: FirstOrderModel) -> None:
    assert model.size == (128, 128)
    assert not model.training
    assert sum(path.stat().st_size for path in ASSETS.glob("*.safetensors")) <= 16e6


@torch.inference_mode()
def test_unseen_people_are_rebuilt_far_better_than_by_copying(model: FirstOrderModel) -> None:
    """Four people nobody trained on: half of the copying error at most, keypoints spread over the picture."""
    people = sample_identity(7, 4, held_out=True)
    motions = sample_motion(7, 5, 4, rate=3.0, held_out=True)
    error = copied = 0.0
    for number in range(4):
        frames = draw(people[number : number + 1], motions[number], 128)
        source, keypoints = frames[:1], model.detect(frames)
        assert keypoint_spread(keypoints.value) >= 0.3
        made = model.render(model.encode(source), model.detect(source), keypoints).prediction
        error += float((made - frames)[1:].abs().mean())
        copied += float((source - frames)[1:].abs().mean())
    assert error <= 0.5 * copied


def test_faces_follow_where_the_head_is_held() -> None:
    """Inside the boxes of eyes and mouth: a network that moves heads alone scores 1."""
    measured = check(Network("toon-128", load_model("toon-128", device="cpu")), identities=6, frames=4)
    assert measured.ratio["details"].value is not None
    assert measured.ratio["details"].value <= 0.65


def test_the_default_weights_move_a_person_whom_they_have_not_met() -> None:
    """The clip of the demo rebuilt from its first frame: toon-128 scores 1.3, a still picture 1."""
    assert BUNDLED[0] == "face-128"
    person = SAMPLES["person"].driving
    clip = np.stack([fit(frame, (128, 128)) for frame in read_frames(person)][::10])
    made = np.stack(list(Animator(BUNDLED[0], clip[0], mode="absolute").frames(clip)))
    error, copied = (np.abs(frames - clip.astype(float))[1:].mean() for frames in (made, clip[:1]))
    assert error <= 0.5 * copied


def test_the_demo_makes_both_videos_with_sound_and_every_frame(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", "-o", str(folder), "--device", "cpu"]) == 0
    told = capsys.readouterr().out.split()
    driving = probe(sample_of(None).driving)
    for name, width in (("result.mp4", 256), ("side-by-side.mp4", 3 * 256)):
        assert str(folder / name) in told
        info = probe(folder / name)
        assert (info.width, info.height) == (width, 256)
        assert info.frames == driving.frames
        assert info.rate == driving.rate
        assert info.has_audio == driving.has_audio
    assert main(["demo", "-o", str(folder), "--device", "cpu"]) == 1  # nothing is overwritten


@pytest.mark.parametrize("file", list(MOTIONS), ids=lambda file: file.name)
def test_bundled_motions_are_small_move_and_are_of_bundled_weights(file: Path) -> None:
    motion = motion_file.load(file)
    assert file.stat().st_size < 30_000
    assert motion.detector in {make_engine(load_model(name, device="cpu"), "plain").detector for name in BUNDLED}
    moved = motion.poses.value - motion.poses.value[:1]
    assert np.abs(moved).max() > 0.03, "something happens"
    assert np.abs(moved[-1]).max() < 0.02, "it ends as it began"

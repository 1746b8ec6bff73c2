"""The procedural set: seeds, the separation of identity and motion, the pictures, the folders it writes."""

from __future__ import annotations

import csv
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.data import toon
from fomm_cli.data.clips import open_clip
from fomm_cli.data.split import find_split
from fomm_cli.data.synth import (
    SynthSettings,
    clip_boxes,
    render_clip,
    render_clips,
    render_pair,
    synthesize,
)
from fomm_cli.data.toon.canvas import Canvas
from fomm_cli.data.toon.demo import demo_assets, voice
from fomm_cli.data.toon.parameters import Parameters, normal, uniform
from fomm_cli.errors import FommError
from fomm_cli.media.image import read_image
from fomm_cli.media.video import probe, read_frames
from fomm_cli.model.pixels import to_frames

PINNED = [[0.1745792, 0.99897093, 0.2263301], [0.10191494, 0.92721659, 0.57808763]]


def as_bytes(pictures: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(to_frames(pictures))


def equal(a: Parameters, b: Parameters) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def close(a: Parameters, b: Parameters, atol: float = 1e-5) -> bool:
    return all(torch.allclose(getattr(a, f.name), getattr(b, f.name), atol=atol) for f in fields(a))


# Numbers


def test_numbers_depend_on_their_address_alone() -> None:
    one = uniform(7, torch.arange(100), 50)
    assert torch.equal(one[40:43, :20], uniform(7, torch.arange(40, 43), 20))
    for other in (
        uniform(8, torch.arange(100), 50),
        uniform(7, torch.arange(100), 50, stream=1),
        uniform(7, torch.arange(100), 50, held_out=True),
    ):
        assert not (one == other).any(1).all()
        assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) < 0.05


def test_numbers_are_those_of_always() -> None:
    # Bundled weights and published scores rest on these people: changing the stream is changing the set.
    values = uniform(1, torch.tensor([0, 3]), 3)
    torch.testing.assert_close(values, torch.tensor(PINNED), rtol=0, atol=1e-7)


def test_numbers_are_uniform_and_normal() -> None:
    u = uniform(3, torch.arange(2000), 20)
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.002
    n = normal(3, torch.arange(2000), 20)
    assert torch.isfinite(n).all()
    assert abs(n.mean()) < 0.02
    assert abs(n.std() - 1) < 0.02


def test_seeds_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        uniform(2**31, torch.arange(1), 1)


def test_held_out_people_are_no_training_people() -> None:
    trained = torch.cat([flat(toon.sample_identity(seed, 300)) for seed in range(4)])
    held = torch.cat([flat(toon.sample_identity(seed, 300, held_out=True)) for seed in range(4)])
    assert torch.cdist(trained, held).min() > 0.1
    assert torch.cdist(held[:300], held[300:]).min() > 0.1


def flat(identity: toon.Identity) -> torch.Tensor:
    return torch.cat([getattr(identity, f.name).reshape(len(identity), -1) for f in fields(identity)], 1)


# Identity and motion


def test_a_person_is_the_same_however_many_are_drawn() -> None:
    many = toon.sample_identity(5, 40)
    assert close(many[17:19], toon.sample_identity(5, 2, start=17))
    assert not close(many[17:18], toon.sample_identity(6, 1, start=17), atol=1e-3)


def test_a_trajectory_is_the_same_at_any_length_and_rate() -> None:
    long = toon.sample_motion(5, 60, n=3, rate=20)
    assert close(long[1:2, :15], toon.sample_motion(5, 15, start=1, rate=20))
    assert close(long[:, ::2], toon.sample_motion(5, 30, n=3, rate=10), atol=1e-4)


def test_motion_is_that_of_a_talking_head() -> None:
    m = toon.sample_motion(2, 500, n=12, rate=25)
    limits = {"yaw": 0.65, "pitch": 0.5, "gaze": 1, "smile": 1, "brow": 1, "open": 1, "blink": 1, "pucker": 1}
    for name, limit in limits.items():
        assert getattr(m, name).abs().max() <= limit
    assert 0.1 < m.yaw.std() < 0.4
    assert 0.05 < m.shift.std() < 0.2
    assert ((m.scale > 0.7) & (m.scale < 1.4)).all()
    # No jumps: a head turns less than 12 degrees in a 25th of a second.
    assert m.yaw.diff(dim=1).abs().max() < 0.21
    assert m.shift.diff(dim=1).abs().max() < 0.08
    shut = (m.blink > 0.8).all(-1)
    blinks = (shut[:, 1:] & ~shut[:, :-1]).sum(1) / 20  # a second
    assert 0.15 < blinks.mean() < 0.8
    opened = (m.open[:, 1:] > 0.3) & (m.open[:, :-1] <= 0.3)
    assert 1 < opened.sum(1).float().mean() / 20 < 5


def test_relative_from_the_same_start_is_absolute() -> None:
    motion = toon.sample_motion(1, 20)[0]
    assert close(toon.relative(motion[0], motion), motion)
    assert close(toon.relative(motion[4], motion, motion[4]), motion)


def test_relative_adds_changes_and_multiplies_scale() -> None:
    one, two = toon.sample_motion(1, 10, n=2)
    moved = toon.relative(one[0], two)
    assert close(moved[:1], one[:1])
    torch.testing.assert_close(moved.scale, one.scale[0] * two.scale / two.scale[0])
    torch.testing.assert_close(moved.roll - one.roll[0], two.roll - two.roll[0])
    torch.testing.assert_close(moved.shift - one.shift[0], two.shift - two.shift[0])
    wide = replace(two, open=torch.ones(10), blink=torch.ones(10, 2))
    wide = replace(wide, open=wide.open - torch.eye(10)[0], blink=wide.blink - torch.eye(10)[0][:, None])
    start = replace(one[0], open=torch.tensor(0.6), blink=torch.full((2,), 0.5))
    clamped = toon.relative(start, wide)
    assert clamped.open.max() == 1
    assert clamped.blink.max() == 1


def test_still_head_keeps_the_face_alone() -> None:
    motion = toon.sample_motion(1, 10)[0]
    still = toon.still_head(motion)
    assert not still.shift.any()
    assert not still.roll.any()
    assert (still.scale == 1).all()
    assert torch.equal(still.yaw, motion.yaw)
    assert torch.equal(still.open, motion.open)


# Pictures


@pytest.fixture(scope="module")
def people() -> toon.Identity:
    return toon.sample_identity(11, 6)


def test_pictures_are_repeatable_and_in_range(people: toon.Identity) -> None:
    motion = toon.sample_motion(11, 6)[0]
    one = toon.draw(people, motion, 64)
    assert one.shape == (6, 3, 64, 64)
    assert one.min() >= 0
    assert one.max() <= 1
    assert torch.equal(one, toon.draw(people, motion, 64))
    # How many are drawn together does not matter: rectangles that bound the work are not seen.
    for k in range(6):
        torch.testing.assert_close(
            one[k : k + 1], toon.draw(people[k : k + 1], motion[k : k + 1], 64), atol=2e-4, rtol=0
        )


def test_one_person_broadcasts_over_poses_and_one_pose_over_people(people: toon.Identity) -> None:
    motion = toon.sample_motion(3, 6)[0]
    each = people.map(lambda x: x[:1].expand(6, *x.shape[1:]))
    torch.testing.assert_close(toon.draw(people[:1], motion, 48), toon.draw(each, motion, 48))
    assert toon.draw(people, toon.neutral(1), 48).shape == (6, 3, 48, 48)


def test_identity_is_free_of_motion(people: toon.Identity) -> None:
    # The wall stands still whatever the person does: the corners above a neutral head never change.
    motion = replace(toon.neutral(12), open=torch.rand(12), gaze=torch.rand(12, 2), brow=torch.rand(12))
    frames = toon.draw(people[:1], motion, 64)
    assert (frames[:, :, :, :6] - frames[:1, :, :, :6]).abs().max() < 1e-6
    assert (frames - frames[:1]).abs().max() > 0.2


def test_people_and_poses_differ(people: toon.Identity) -> None:
    neutral = toon.draw(people, toon.neutral(1), 64)
    for a in range(6):
        for b in range(a):
            assert (neutral[a] - neutral[b]).abs().mean() > 0.03
    motion = toon.sample_motion(4, 32, n=6)
    clips = [toon.draw(people[k : k + 1], motion[k], 64) for k in range(6)]
    copy = torch.stack([(clip[1:] - clip[:1]).abs().mean() for clip in clips])
    assert copy.mean() > 0.03  # copying the first frame is a bad answer


def test_any_size_shows_the_same_picture(people: toon.Identity) -> None:
    motion = toon.sample_motion(11, 6)[0]
    small = toon.draw(people, motion, 128)
    large = torch.nn.functional.avg_pool2d(toon.draw(people, motion, 256), 2)
    assert (small - large).abs().mean() < 0.004
    assert ((small - large).abs() > 0.15).float().mean() < 0.004
    assert toon.draw(people, motion, 31).shape[-1] == 31


@pytest.mark.parametrize("field", [f.name for f in fields(toon.Motion)])
def test_pictures_change_smoothly_with_motion(people: toon.Identity, field: str) -> None:
    motion = toon.sample_motion(8, 6)[0]
    before = toon.draw(people, motion, 64)
    value = getattr(motion, field)
    after = toon.draw(people, replace(motion, **{field: value + 1e-4}), 64)
    assert 0 < (before - after).abs().mean() < 5e-4
    assert (before - after).abs().max() < 0.05


def test_pictures_change_smoothly_with_identity() -> None:
    one, two = toon.sample_identity(11, 32), toon.sample_identity(12, 32)
    motion = toon.sample_motion(8, 1, n=32)[:, 0]
    before = toon.draw(one, motion, 40)
    step = (before - toon.draw(one.lerp(two, 1e-3), motion, 40)).abs()
    assert 0 < step.mean() < 2e-3
    middle = toon.draw(one.lerp(two, 0.5), motion, 40)
    assert torch.isfinite(middle).all()
    # Each parameter shows on somebody.
    for f in fields(one):
        halfway = replace(one, **{f.name: getattr(two, f.name)})
        assert (before - toon.draw(halfway, motion, 40)).abs().max() > 1e-3, f.name


def test_painting_everywhere_equals_painting_in_rectangles(
    people: toon.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    motion = toon.sample_motion(11, 6)[0]
    bounded = toon.draw(people, motion, 64)
    init = Canvas.__init__

    def unbounded(self: Canvas, *args: object) -> None:
        init(self, *args)  # type: ignore[arg-type]
        self.bounded = False

    monkeypatch.setattr(Canvas, "__init__", unbounded)
    everywhere = toon.draw(people, motion, 64)
    assert (bounded - everywhere).abs().max() < 0.02


def test_everything_is_drawn_where_it_was_asked_for(people: toon.Identity) -> None:
    # On the meta device any tensor made elsewhere is an error.
    assert toon.draw(people, toon.neutral(1), 64, device="meta").device.type == "meta"


def test_boxes_hold_what_changes(people: toon.Identity) -> None:
    base = toon.neutral(6)
    boxes = toon.boxes(people, base, 128)
    assert boxes.shape == (6, 3, 4)
    assert (boxes >= 0).all()
    assert (boxes <= 128).all()
    still = toon.draw(people, base, 128)
    for parts, changed in (
        ((0,), replace(base, blink=torch.tensor([[1.0, 0.0]]).expand(6, 2))),
        ((1,), replace(base, blink=torch.tensor([[0.0, 1.0]]).expand(6, 2))),
        ((0, 1), replace(base, gaze=torch.ones(6, 2))),
        ((2,), replace(base, open=torch.ones(6))),
    ):
        change = (toon.draw(people, changed, 128) - still).abs().sum(1)
        for person in range(6):
            inside = torch.zeros(128, 128, dtype=torch.bool)
            for part in parts:
                left, top, right, bottom = boxes[person, part].tolist()
                inside[top:bottom, left:right] = True
            assert change[person][inside].sum() > 0.75 * change[person].sum()
            assert change[person][inside].mean() > 0.05


def test_boxes_follow_the_head(people: toon.Identity) -> None:
    base = toon.neutral(6)
    moved = replace(base, shift=torch.tensor([[0.25, -0.125]]).expand(6, 2))
    difference = toon.boxes(people, moved, 128) - toon.boxes(people, base, 128)
    assert torch.equal(difference, torch.tensor([16, -8, 16, -8]).expand(6, 3, 4))
    far = replace(base, shift=torch.full((6, 2), 9.0))
    box = toon.boxes(people, far, 128)
    assert (box[..., 2:] > box[..., :2]).all()
    assert (box <= 128).all()


# Clips


def test_clips_in_memory() -> None:
    clips = render_clips(3, 2, frames=4, size=32, start=5)
    assert clips.shape == (2, 4, 32, 32, 3)
    assert clips.dtype == torch.uint8
    settings = SynthSettings(3, 32, 4)
    assert torch.equal(clips[1], render_clip(settings, 6))
    expected = as_bytes(toon.draw(settings.person(6), settings.motion(6), 32))
    assert torch.equal(clips[1], expected)
    assert not torch.equal(clips[1], render_clip(settings, 6, held_out=True))


def test_pairs_hold_the_truth() -> None:
    settings = SynthSettings(3, 32, 5)
    pair = render_pair(settings, 2)
    assert pair.source.shape == (32, 32, 3)
    assert pair.driving.shape == pair.relative.shape == pair.absolute.shape == (5, 32, 32, 3)
    # At the start of the relative answer nothing has changed yet.
    assert (pair.relative[0].int() - pair.source.int()).abs().max() <= 1
    assert (pair.absolute[0].int() - pair.source.int()).abs().float().mean() > 1
    person, driver = settings.person(4, held_out=True), settings.motion(5, held_out=True)
    assert torch.equal(pair.absolute, as_bytes(toon.draw(person, driver, 32)))
    # A driven by A's own motion is A's clip, in either way of driving.
    own = settings.motion(4, held_out=True)
    clip = render_clip(settings, 4, held_out=True)
    again = as_bytes(toon.draw(person, toon.relative(own[0], own), 32))
    assert (again.int() - clip.int()).abs().max() <= 1


def test_folder_of_clips(tmp_path: Path) -> None:
    settings = SynthSettings(3, 32, 4, clips=2)
    report = synthesize(tmp_path / "set", 12, settings, pairs=True)
    assert report == (11, 1, 1, 13, 0)
    split = find_split(tmp_path / "set")
    assert [ref.name for ref in split.train[:3]] == ["toon00000#0", "toon00000#1", "toon00001#0"]
    assert [ref.identity for ref in split.test] == ["held00000"]
    clip = split.train[3].open()
    assert len(clip) == 4
    frames = np.stack(list(clip))
    assert np.array_equal(frames, render_clip(settings, 3).numpy())
    # The two clips of a person show one person in two motions.
    assert equal(settings.person(2), settings.person(3))
    assert not equal(settings.motion(2), settings.motion(3))
    boxes = json.loads((tmp_path / "set/test-boxes.json").read_text())
    assert boxes["boxes"]["held00000#0"] == clip_boxes(settings, 0, held_out=True).tolist()
    rows = list(csv.DictReader((tmp_path / "set/pairs.csv").open()))
    assert len(rows) == 1
    pair = render_pair(settings, 0)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "set" / rows[0]["source"])), pair.source.numpy())
    for name in ("driving", "relative", "absolute"):
        strip = open_clip(tmp_path / "set" / rows[0][name])
        assert np.array_equal(np.stack(list(strip)), getattr(pair, name).numpy())
    assert not list(tmp_path.rglob("*.part*"))


def test_drawing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    settings = SynthSettings(3, 16, 2)
    synthesize(tmp_path, 4, settings)
    (tmp_path / "train/toon00001#0.png").unlink()
    kept = (tmp_path / "train/toon00000#0.png").stat().st_mtime_ns
    report = synthesize(tmp_path, 6, settings)
    assert (report.train, report.test, report.drawn, report.kept) == (5, 1, 3, 3)
    assert (tmp_path / "train/toon00000#0.png").stat().st_mtime_ns == kept


def test_clips_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    synthesize(tmp_path, 6, SynthSettings(3, 16, 2))
    with pytest.raises(FommError, match="seed 3"):
        synthesize(tmp_path, 6, SynthSettings(4, 16, 2))
    with pytest.raises(FommError, match="more than"):
        synthesize(tmp_path, 3, SynthSettings(3, 16, 2))
    assert Image.open(tmp_path / "train/toon00000#0.png").size == (32, 16)
    synthesize(tmp_path, 3, SynthSettings(3, 24, 2), force=True)
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == ["toon00000#0.png", "toon00001#0.png"]
    assert Image.open(tmp_path / "train/toon00000#0.png").size == (48, 24)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"size": 4}, {"frames": 0}, {"rate": 0.0}, {"size": 1024, "frames": 100}, {"clips": 0}]
)
def test_settings_out_of_range_are_explained(wrong: dict[str, int]) -> None:
    with pytest.raises(FommError):
        SynthSettings(**{"seed": 0, **wrong})


# The verb


def test_verb(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    command = ["dataset", "synth", "toon", "--out", str(out), "--videos", "3", "--seed", "9", "--size", "32"]
    command += ["--frames", "3", "--pairs", "--json"]
    assert main(command) == 0
    found = json.loads(capfd.readouterr().out)
    assert found == {"out": str(out), "train": 2, "test": 1, "pairs": 1, "drawn": 4, "kept": 0}
    assert main(command) == 0
    assert json.loads(capfd.readouterr().out)["kept"] == 4
    assert json.loads((out / "toon.json").read_text())["seed"] == 9
    assert main(["dataset", "synth", "toon", "--out", str(out), "--videos", "3", "--seed", "8"]) == 1
    error = capfd.readouterr().err
    assert "seed 9" in error
    assert "Traceback" not in error


def test_verb_with_wrong_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "synth", "tone", "--out", str(tmp_path / "x"), "--videos", "3"]) == 1
    assert "'toon'" in capfd.readouterr().err
    assert main(["dataset", "synth", "toon", "--videos", "3"]) == 2
    (tmp_path / "file").write_text("")
    assert main(["dataset", "synth", "toon", "--out", str(tmp_path / "file"), "--videos", "3"]) == 1
    assert "file" in capfd.readouterr().err


# The bundled samples


def test_samples_can_be_drawn_again(tmp_path: Path) -> None:
    portrait, driving = demo_assets(tmp_path, seconds=0.4)
    bundled = Path(toon.__file__).parents[2] / "assets"
    assert np.array_equal(read_image(portrait).shape, (512, 512, 3))
    difference = read_image(portrait).astype(int) - read_image(bundled / "portrait.png").astype(int)
    assert np.abs(difference).max() <= 2  # processors round differently
    info = probe(driving)
    assert (info.width, info.height, info.frames, info.rate, info.has_audio) == (256, 256, 10, 25, True)
    whole = probe(bundled / "driving.mp4")
    assert (whole.width, whole.frames, whole.has_audio) == (256, 125, True)
    first = next(read_frames(bundled / "driving.mp4")).astype(int)
    assert np.abs(first - next(read_frames(driving)).astype(int)).mean() < 3
    assert all((bundled / name).stat().st_size < 300_000 for name in ("portrait.png", "driving.mp4"))
    with pytest.raises(FommError, match="exists"):
        demo_assets(tmp_path, seconds=0.4)


def test_voice_is_as_loud_as_the_mouth_is_open() -> None:
    motion = toon.sample_motion(5, 100, rate=25)[0]
    sound = voice(motion, 25)
    assert len(sound) == 4 * 22_050
    assert 0.2 < np.abs(sound).max() < 0.5
    loudness = np.sqrt((sound.reshape(100, -1) ** 2).mean(1))
    middle = (motion.open[:-1] + motion.open[1:]) / 2
    assert np.corrcoef(loudness[:-1], middle)[0, 1] > 0.7
    assert np.abs(voice(toon.neutral(50), 25)).max() < 1e-6

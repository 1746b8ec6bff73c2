"""Motion files and what is made of them: round trips, edits, refusals, and `fomm motion` through its entry point."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from fomm_cli.animate.clip import Output, Settings, animate_clip
from fomm_cli.commands.app import main
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.media.image import fit, read_image
from fomm_cli.media.video import probe, read_frames, read_timed
from fomm_cli.model.pose import joined, pick
from fomm_cli.motion import edit, loops
from fomm_cli.motion.controls import Controls
from fomm_cli.motion.exchange import export, read_npz
from fomm_cli.motion.file import load, save
from fomm_cli.motion.mirror import assignment, partners
from fomm_cli.motion.motion import Motion
from tests.clips import first_beep, shades, write_clip
from tests.engines import tiny_config, tiny_model
from tests.motions import motion


def same(ours: Motion, theirs: Motion, atol: float = 0.0) -> None:
    assert ours.times == theirs.times
    for a, b in zip(ours.poses, theirs.poses, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("frames", [True, False])
def test_all_of_it_comes_back(tmp_path: Path, frames: bool) -> None:
    times = tuple(Fraction(1001 * n, 30000) + Fraction(n * n, 90000) for n in range(12))
    kept = replace(
        motion(12, frames=frames),
        times=times,
        rate=Fraction(30000, 1001),
        time_base=Fraction(1, 12800),
        variable_rate=True,
        anchor=4,
        partner=(1, 0, *range(2, 9)),
        residual=0.09,
        history=("extract clip.mp4", "edit reverse"),
        notes={"fomm.weights": "toon-128", "somebody.else": "kept"},
        sound=b"not really sound",
        last=Fraction(3, 7),
    )
    back = load(save(kept, tmp_path / "m.safetensors"))
    same(back, kept)
    for name in ("rate", "size", "detector", "variable_rate", "anchor", "partner", "residual", "history", "notes",
                 "sound", "last", "relative", "family"):  # fmt: skip
        assert getattr(back, name) == getattr(kept, name), name
    assert (tmp_path / "m.safetensors").stat().st_size < 6000
    with pytest.raises(FommError, match="exists already"):
        save(kept, tmp_path / "m.safetensors")


def test_times_that_share_no_clock_stay_in_order(tmp_path: Path) -> None:
    times = tuple(n + Fraction(1, 10_007 + 2 * n) for n in range(20))
    back = load(save(replace(motion(20), times=times), tmp_path / "m.safetensors"))
    assert max(abs(a - b) for a, b in zip(back.times, times, strict=True)) < Fraction(1, 10**9)


def hostile(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_hostile_files_are_refused_at_once(tmp_path: Path) -> None:
    good = save(motion(5), tmp_path / "good.safetensors")
    tensors = load_file(good)
    from safetensors import safe_open

    with safe_open(str(good), framework="np") as opened:
        told = dict(opened.metadata())

    def altered(name: str, change: dict[str, object] | None = None, **words: str) -> Path:
        path = tmp_path / f"{name}.safetensors"
        parts = {**tensors, **(change or {})}
        save_file({k: v for k, v in parts.items() if v is not None}, path, {**told, **words})  # type: ignore[misc]
        return path

    value = tensors["value"]
    bad = value.copy()
    bad[2, 1, 0] = np.nan
    shape = [5, 9, 2]
    twice = b'{"__metadata__":{"fomm.kind":"motion"},"value":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    twice += b'"value":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    cases = {
        "claims": hostile(tmp_path / "a.safetensors", {}, length=1 << 60),
        "headers": hostile(tmp_path / "b.safetensors", b"{" + b" " * (2 << 20)),
        "deep": hostile(tmp_path / "c.safetensors", b'{"a":' + b"[" * 200_000),
        "twice": hostile(tmp_path / "d.safetensors", twice),
        "outside": hostile(
            tmp_path / "e.safetensors", {"value": {"dtype": "F32", "shape": shape, "data_offsets": [0, 360]}}
        ),
        "nan": altered("nan", {"value": bad}),
        "none": altered("none", {name: array[:0] for name, array in tensors.items()}),
        "backwards": altered("backwards", {"time": tensors["time"][::-1].copy()}),
        "late": altered("late", {"time": tensors["time"] + (1 << 61)}),
        "shape": altered("shape", {"jacobian": tensors["jacobian"][:, :4].copy()}),
        "flat": altered("flat", {"value": value[..., :1].copy()}),
        "timeless": altered("timeless", {"time": None}),
        "stranger": altered("stranger", {"payload": np.zeros(3, np.float32)}),
        "doubles": altered("doubles", {"value": value.astype(np.float64)}),
        "rate": altered("rate", **{"fomm.rate": "1e99999999"}),
        "clock": altered("clock", **{"fomm.time_base": "0"}),
        "family": altered("family", **{"fomm.motion_model": "../x"}),
        "anchor": altered("anchor", **{"fomm.anchor": "99"}),
        "mirror": altered("mirror", **{"fomm.mirror": '{"partner": [0, 0, 0], "residual": 0}'}),
        "history": altered("history", **{"fomm.history": "7"}),
        "newer": altered("newer", **{"fomm.format": "2"}),
        "kind": altered("kind", **{"fomm.kind": "weights"}),
    }
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-9])
    cases["cut"] = tmp_path / "cut.safetensors"
    begun = time.monotonic()
    for name, path in cases.items():
        with pytest.raises(FommError) as refusal:
            load(path)
        assert path.name in refusal.value.what or name == "family", name
    assert time.monotonic() - begun < 10


def test_npz_csv_and_json(tmp_path: Path) -> None:
    moved = motion(6)
    export(moved, tmp_path / "m.npz")
    same(read_npz(tmp_path / "m.npz"), moved)
    assert read_npz(tmp_path / "m.npz").detector == moved.detector
    export(moved, tmp_path / "m.csv")
    table = np.genfromtxt(tmp_path / "m.csv", delimiter=",", names=True)
    assert len(table.dtype.names) == 1 + 6 * 9
    np.testing.assert_allclose(table["value_3"], moved.poses.value[:, 1, 1], atol=1e-6)
    export(moved, tmp_path / "m.json")
    assert np.shape(json.loads((tmp_path / "m.json").read_text())["jacobian"]) == (6, 9, 2, 2)
    np.savez(tmp_path / "bare.npz", value=moved.poses.value)
    bare = read_npz(tmp_path / "bare.npz")
    assert (bare.rate, bare.detector, bare.poses.jacobian) == (25, "", None)
    np.savez(tmp_path / "evil.npz", value=np.array([{}], dtype=object))
    for name in ("evil.npz", "m.json"):
        with pytest.raises(FommError, match="npz"):
            read_npz(tmp_path / name)
    with pytest.raises(FommError, match="no suffix"):
        export(moved, tmp_path / "m.pkl")


# ------------------------------------------------------------------------------------------------------------- edits


def changed(moved: Motion, *operations: str) -> Motion:
    return edit.edit(moved, operations)[0]


def test_there_and_back_again() -> None:
    moved = replace(motion(40), partner=(1, 0, 3, 2, *range(4, 9)), residual=0.05)
    same(changed(moved, "reverse", "reverse"), moved)
    same(changed(moved, "mirror", "mirror"), moved, 1e-5)
    same(changed(moved, "motion-scale=2", "clamp=off", "motion-scale=0.5", "clamp=off"), moved, 1e-5)
    same(changed(moved, "trim=:"), moved)
    same(changed(moved, "trim=0.4:1.2"), changed(moved, "trim=f10:f30"))
    same(changed(moved, "repeat=3", "trim=f40:f80"), moved)
    same(changed(moved, "hold=1", "trim=:f40"), moved)
    same(changed(moved, "resample=25"), moved, 1e-6)
    same(changed(moved, "resample=50", "resample=25"), moved, 1e-6)
    same(changed(moved, "speed=0.5", "speed=2"), moved, 1e-6)
    same(edit.blend(moved, changed(moved, "reverse"), 0), moved, 1e-6)
    same(edit.concat(moved, moved, 0)[:40], moved, 1e-6)


def test_what_edits_do() -> None:
    moved = motion(40)
    assert len(changed(moved, "speed=0.5")) == 79
    assert changed(moved, "speed=2").rate == 25
    assert len(changed(moved, "resample=30")) == 47
    assert changed(moved, "hold=2").duration == moved.duration + 2
    np.testing.assert_array_equal(changed(moved, "hold=2").poses.value[-1], moved.poses.value[-1])
    assert len(changed(moved, "loop=pingpong")) == 78
    assert loops.jump(changed(motion(90), "loop=cut")) <= 1.5
    turned = replace(moved, partner=tuple(range(9)), residual=0.0)
    mirrored = changed(turned, "mirror")
    shift = [m.poses.value - m.poses.value[:1] for m in (mirrored, turned)]
    np.testing.assert_allclose(shift[0], shift[1] * (-1, 1), atol=1e-5)
    both = changed(moved, "motion-scale=2", "smooth=0.5", "clamp=off")
    apart = changed(changed(moved, "smooth=0.5"), "motion-scale=2", "clamp=off")
    np.testing.assert_allclose(both.poses.value, apart.poses.value, atol=1e-5)


def test_joined_motions_do_not_jump() -> None:
    first, second = motion(40), motion(40, sway=0.25)
    both = edit.concat(first, second, 8)
    assert len(both) == 80
    assert both.times[40] - both.times[39] == Fraction(1, 25)
    assert both.steps()[39] <= 2 * np.median(both.steps()) + 1e-6
    half = edit.blend(first, second, 0.5)
    space = first.space()
    middle = (space.channels(first.poses) + space.channels(second.poses)) / 2
    np.testing.assert_allclose(space.channels(half.poses), middle, atol=0.05)
    shorter = edit.blend(first, second[:10], 1.0)
    np.testing.assert_allclose(shorter.poses.value[20], shorter.poses.value[39], atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    ["revers", "trim=a:b", "trim=3", "speed=0", "speed=1e9", "repeat=0", "repeat=x", "reverse=1", "hold=-1",
     "motion-scale=9", "motion-scale=", "lock=sise", "resample=nan"],
)  # fmt: skip
def test_operations_that_are_none(wrong: str) -> None:
    with pytest.raises(FommError):
        changed(motion(9), wrong)


def test_what_cannot_be_done_is_said() -> None:
    moved = motion(9)
    with pytest.raises(FommError, match="left and right"):
        changed(moved, "mirror")
    with pytest.raises(FommError, match="no left and right"):
        changed(replace(moved, partner=tuple(range(9)), residual=0.4), "mirror")
    with pytest.raises(FommError, match="different detectors"):
        edit.concat(moved, replace(moved, detector="sha256:1"))
    with pytest.raises(FommError, match="different detectors"):
        edit.blend(moved, motion(9, points=8))
    with pytest.raises(FommError, match="No frame"):
        changed(moved, "trim=5:6")


def test_partners_are_found() -> None:
    r = np.random.default_rng(0)
    points = r.uniform(-0.8, 0.8, (16, 7, 2))
    order = np.array([3, 1, 5, 0, 6, 2, 4])
    found, residual = partners(points, (points * (-1, 1))[:, order] + r.normal(0, 0.01, (16, 7, 2)))
    assert found == tuple(order)
    assert residual < 0.05
    cost = r.random((6, 6))
    assert sorted(assignment(cost)) == list(range(6))


# ---------------------------------------------------------------------------------------------------------- the verb


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fomm_cli.weights.file import save_weights

    folder = tmp_path_factory.mktemp("weights")
    save_weights(folder / "other.safetensors", tiny_model(1), tiny_config())
    return save_weights(folder / "tiny.safetensors", tiny_model(), tiny_config())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    r = np.random.default_rng(0)
    Image.fromarray(r.integers(0, 255, (50, 40, 3), dtype=np.uint8)).save("face.png")
    times = [Fraction(t, 1000) for t in (0, 40, 55, 200, 210, 480, 481, 900, 1300)]
    write_clip(tmp_path / "talk.mp4", shades(9), Fraction(7), times, time_base=Fraction(1, 1000), sound="aac",
               beeps=[Fraction(1, 2)])  # fmt: skip
    return tmp_path


def frames(path: Path) -> list[tuple[np.ndarray, Fraction, Fraction]]:
    return list(read_timed(path))


def test_extracted_motion_animates_as_the_clip_does(folder: Path, weights: Path) -> None:
    """Frames, times and sound: bit for bit; an edit that does nothing changes nothing."""
    chosen = ["--weights", str(weights), "--device", "cpu"]
    assert main(["motion", "extract", "talk.mp4", "--audio", "embed", *chosen]) == 0
    assert main(["animate", "face.png", "talk.mp4", "-o", "clip.mkv", *chosen]) == 0
    assert main(["motion", "edit", "talk.motion.safetensors", "-o", "same.safetensors", "motion-scale=1"]) == 0
    for number, file in enumerate(("talk.motion.safetensors", "same.safetensors")):
        assert main(["animate", "face.png", file, "-o", f"{number}.mkv", *chosen]) == 0
        pairs = zip(frames(folder / f"{number}.mkv"), frames(folder / "clip.mkv"), strict=True)
        for (ours, *at), (theirs, *then) in pairs:
            np.testing.assert_array_equal(ours, theirs)
            assert at == then
        assert probe(folder / f"{number}.mkv").has_audio
        assert first_beep(folder / f"{number}.mkv") == pytest.approx(first_beep(folder / "clip.mkv"), abs=0.03)
    assert load(folder / "same.safetensors").history == ("extract talk.mp4", "edit motion-scale=1")


@pytest.mark.parametrize("settings", [{}, {"anchor": "first"}, {"anchor": "4"}, {"mode": "absolute"}])
def test_without_controls_frames_are_those_of_the_three_seams(folder: Path, settings: dict[str, str]) -> None:
    """Bit for bit what detect, transfer and render give by hand, in the same batches."""
    engine = PlainEngine(tiny_model())
    asked = Settings(controls=Controls(), **settings)  # type: ignore[arg-type]
    report = animate_clip(engine, "face.png", "talk.mp4", [Output(folder / "out")], asked)
    seen = [fit(frame, engine.size) for frame in read_frames("talk.mp4")]
    batches = [slice(start, start + engine.batch) for start in range(0, len(seen), engine.batch)]
    source = fit(read_image("face.png"), engine.size)
    pose = engine.detect(source[None])
    poses = joined([engine.detect(np.stack(seen[batch])) for batch in batches])
    anchor = None if report.anchor is None else pick(poses, slice(report.anchor, report.anchor + 1))
    encoded = engine.encode(source)
    for batch in batches:
        moved = engine.family.transfer(pose, pick(poses, batch), anchor, asked.carrying[0])
        for row, frame in enumerate(engine.render(encoded, pose, moved), batch.start):
            np.testing.assert_array_equal(np.asarray(Image.open(folder / "out" / f"{row:06d}.png")), frame)


def test_controls_reach_animate_and_edit_alike(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--weights", str(weights), "--device", "cpu", "--anchor", "first", "--force"]
    assert main(["motion", "extract", "talk.mp4", "--weights", str(weights), "-o", "m.safetensors"]) == 0
    for options in (["motion-scale=1.4", "head=0.5"], ["smooth=0.5", "lock=size"]):
        flags = [word for option in options for word in (f"--{option.split('=')[0]}", option.split("=")[1])]
        assert main(["animate", "face.png", "talk.mp4", "-o", "a", *flags, *chosen]) == 0
        assert main(["motion", "edit", "m.safetensors", "-o", "e.safetensors", "--force", *options]) == 0
        assert main(["animate", "face.png", "e.safetensors", "-o", "b", *chosen]) == 0
        pairs = zip(sorted((folder / "a").glob("*.png")), sorted((folder / "b").glob("*.png")), strict=True)
        for ours, theirs in pairs:
            difference = np.asarray(Image.open(ours)).astype(int) - np.asarray(Image.open(theirs))
            assert np.abs(difference).max() <= 1
    capsys.readouterr()
    assert main(["animate", "face.png", "talk.mp4", "-o", "l", "--loop", "pingpong", "--json", *chosen]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["frames"], document["sound"]) == (16, False)
    assert document["loop_jump"] is not None


def test_private_motion_moves_alike_and_shows_no_head(folder: Path, weights: Path) -> None:
    chosen = ["--weights", str(weights)]
    assert main(["motion", "extract", "talk.mp4", "--private", "-o", "p.safetensors", *chosen]) == 0
    private = load(folder / "p.safetensors")
    np.testing.assert_allclose(private.poses.value[0], 0, atol=1e-6)
    clip = ["face.png", "talk.mp4", "-o", "a", "--anchor", "first", "--no-adapt-scale", *chosen]
    assert main(["animate", *clip]) == 0
    assert main(["animate", "face.png", "p.safetensors", "-o", "b", *chosen]) == 0
    for ours, theirs in zip(sorted((folder / "a").glob("*.png")), sorted((folder / "b").glob("*.png")), strict=True):
        assert np.abs(np.asarray(Image.open(ours)).astype(int) - np.asarray(Image.open(theirs))).max() <= 1
    assert main(["animate", "face.png", "p.safetensors", "-o", "c", "--mode", "absolute", *chosen]) == 1
    assert main(["animate", "face.png", "p.safetensors", "-o", "c", "--head", "0", *chosen]) == 1
    assert not (folder / "c").exists()


def test_another_detector_is_refused_unless_forced(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(weights.with_name("other.safetensors"))
    assert main(["motion", "extract", "talk.mp4", "--weights", str(weights), "-o", "m.safetensors"]) == 0
    assert main(["motion", "check", "m.safetensors", "--weights", str(weights)]) == 0
    assert main(["motion", "check", "m.safetensors", "--weights", other]) == 1
    assert "another detector" in capsys.readouterr().err
    assert main(["animate", "face.png", "m.safetensors", "-o", "o.mp4", "--weights", other]) == 1
    assert "--force-motion" in capsys.readouterr().err
    assert not (folder / "o.mp4").exists()
    assert main(["animate", "face.png", "m.safetensors", "-o", "o.mp4", "--weights", other, "--force-motion"]) == 0
    assert "may not fit" in capsys.readouterr().err
    save(motion(5, points=3), folder / "few.safetensors")
    assert main(["animate", "face.png", "few.safetensors", "-o", "p.mp4", "--weights", other, "--force-motion"]) == 1
    assert "3 points, the weights have 4" in capsys.readouterr().err
    layout = ["--layout", "side-by-side", "--weights", str(weights)]
    assert main(["animate", "face.png", "m.safetensors", "-o", "p.mp4", *layout]) == 1
    assert "no pictures" in capsys.readouterr().err


def test_show_plot_and_the_rest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(replace(motion(50), history=("extract x.mp4",)), folder / "m.safetensors")
    assert main(["motion", "show", "m.safetensors", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["seconds"], told["points"], told["history"]) == (50, 2.0, 9, ["extract x.mp4"])
    assert 0.3 < told["head_share"] <= 1
    assert main(["motion", "show", "m.safetensors"]) == 0
    assert "jitter" in capsys.readouterr().out
    assert main(["motion", "plot", "m.safetensors", "-o", "m.png"]) == 0
    assert Image.open("m.png").size[0] > 800
    assert main(["motion", "concat", "m.safetensors", "m.safetensors", "-o", "c.safetensors"]) == 0
    assert main(["motion", "blend", "m.safetensors", "c.safetensors", "--weight", "0.3", "-o", "b.safetensors"]) == 0
    assert main(["motion", "export", "b.safetensors", "-o", "b.npz"]) == 0
    assert main(["motion", "import", "b.npz", "-o", "i.safetensors"]) == 0
    same(load(folder / "i.safetensors"), load(folder / "b.safetensors"))
    assert main(["motion", "edit", "m.safetensors", "-o", "e.safetensors", "revers"]) == 2
    assert main(["motion", "edit", "m.safetensors", "-o", "e.safetensors", "trim=8:9"]) == 1
    assert main(["motion", "show", "face.png"]) == 1
    assert not (folder / "e.safetensors").exists()


def test_no_verb_but_extract_needs_torch(folder: Path, weights: Path) -> None:
    save(motion(30), folder / "m.safetensors")
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from fomm_cli.commands.app import main\n"
        "run = lambda *words: main(['motion', *words])\n"
        "assert run('show', 'm.safetensors') == 0\n"
        "assert run('plot', 'm.safetensors', '-o', 'm.png') == 0\n"
        "assert run('edit', 'm.safetensors', '-o', 'e.safetensors', 'reverse', 'smooth=0.5', 'loop=cut') == 0\n"
        "assert run('concat', 'm.safetensors', 'e.safetensors', '-o', 'c.safetensors') == 0\n"
        "assert run('export', 'c.safetensors', '-o', 'c.npz') == 0\n"
        "assert run('import', 'c.npz', '-o', 'i.safetensors') == 0\n"
        f"assert run('check', 'm.safetensors', '--weights', {str(weights)!r}) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "another detector" in done.stderr


def test_the_detector_is_hashed_alike_with_and_without_torch(weights: Path) -> None:
    from fomm_cli.weights.identity import of_file, of_model

    assert of_file(weights) == of_model(tiny_model())
    assert of_file(weights) != of_file(weights.with_name("other.safetensors"))


def test_a_motion_is_not_edited_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(motion(20), tmp_path / "m.safetensors")
    before = path.read_bytes()
    for words in (["edit", str(path), "reverse"], ["concat", str(path), str(path)], ["blend", str(path), str(path)]):
        assert main(["motion", *words, "-o", str(path), "--force"]) == 1
        assert "is an input" in capsys.readouterr().err
    assert path.read_bytes() == before

"""From files to files: counts, times, sound, layouts, crops and anchors; in bounded memory; all or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.animate.clip import Output, Report, Settings, animate_clip
from fomm_cli.errors import FommError
from fomm_cli.media.image import Box
from fomm_cli.media.video import probe, read_frames, read_timed
from tests.clips import first_beep, shades, write_clip
from tests.engines import GreyEngine

Run = Callable[..., Report]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 60), (100, 100, 100)).save(tmp_path / "source.png")
    return tmp_path / "source.png"


def greys(count: int, size: int = 32) -> list[np.ndarray]:
    return [np.full((size, size, 3), 60 + 5 * (n % 30), dtype=np.uint8) for n in range(count)]


def leftovers(folder: Path, *known: str) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name not in known)


def level(frame: np.ndarray) -> int:
    return int(frame[16, 16].mean())


def test_count_times_and_motion_survive(source: Path, tmp_path: Path) -> None:
    times = [Fraction(t, 1000) for t in (0, 40, 55, 200, 210, 480, 481, 900, 1300)]
    driving = write_clip(tmp_path / "d.mp4", greys(9), Fraction(7), times, time_base=Fraction(1, 1000))
    report = animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "o.mp4")])
    assert (report.frames, report.variable_rate, report.has_audio) == (9, True, False)
    back = list(read_timed(tmp_path / "o.mp4"))
    assert [t for _, t, _ in back] == times
    start = level(next(read_frames(driving)))
    expected = [100 + level(f) - start for f in read_frames(driving)]
    drift = [level(f) - e for (f, _, _), e in zip(back, expected, strict=True)]
    assert max(drift) - min(drift) <= 6, "the source takes the clip's changes"
    assert not [t for t in threading.enumerate() if t.name == "fomm-stage"]


def test_everything_is_detected_and_rendered_once(source: Path, tmp_path: Path) -> None:
    driving = write_clip(tmp_path / "d.mp4", greys(11))
    for settings in (Settings(), Settings(anchor="first"), Settings(mode="absolute")):
        engine = GreyEngine()
        outputs = [Output(tmp_path / "a.mp4"), Output(tmp_path / "b.mp4", "keypoints")]
        animate_clip(engine, source, driving, outputs, Settings(**{**settings.__dict__, "force": True}))
        assert sum(count for what, count in engine.calls if what == "detect") == 11 + 1
        assert sum(count for what, count in engine.calls if what == "render") == 11
        assert sum(count for what, count in engine.calls if what == "encode") == 1


def test_layouts(source: Path, tmp_path: Path) -> None:
    driving = write_clip(tmp_path / "d.mp4", greys(5))
    outputs = [Output(tmp_path / name, name) for name in ("result", "side-by-side", "keypoints")]
    animate_clip(GreyEngine(), source, driving, outputs, Settings(mode="absolute"))
    shown = {o.layout: list(read_frames(o.path)) for o in outputs}
    assert [f.shape for f in shown["result"]] == [(32, 32, 3)] * 5
    side, marked = shown["side-by-side"][3], shown["keypoints"][3]
    assert side.shape == marked.shape == (32, 96, 3)
    assert level(side[:, :32]) == 100
    assert abs(level(side[:, 32:64]) - (60 + 15)) <= 2
    assert np.array_equal(side[:, 64:], shown["result"][3])
    changed = np.abs(marked.astype(int) - side).max(axis=(0, 2)).reshape(3, 32).max(axis=1)
    assert (changed > 60).all(), "keypoints are drawn into all three"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ""])
@pytest.mark.parametrize("anchor", ["auto", "first", "2"])
def test_formats_and_anchors(source: Path, tmp_path: Path, suffix: str, anchor: str) -> None:
    driving = write_clip(tmp_path / "d.mp4", greys(6), sound="aac")
    out = tmp_path / f"o{suffix}"
    report = animate_clip(GreyEngine(), source, driving, [Output(out)], Settings(anchor=anchor))
    assert report.frames == len(list(read_frames(out))) == 6
    assert report.has_audio == probe(out).has_audio == (suffix in {".mp4", ".webm"})
    assert report.anchor == (2 if anchor == "2" else 0)
    assert abs(level(list(read_frames(out))[report.anchor]) - 100) <= 3


def test_sound_stays_in_step_or_is_left_out(source: Path, tmp_path: Path) -> None:
    frames = [np.full((32, 32, 3), 220 if n == 12 else 60, dtype=np.uint8) for n in range(25)]
    driving = write_clip(tmp_path / "d.mpg", frames, codec="mpeg1video", sound="mp2", beeps=[Fraction(12, 25)])
    animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "o.mp4")], Settings(anchor="first"))

    def flash(path: Path) -> float:
        frames = list(read_timed(path))
        return float(max(frames, key=lambda pair: level(pair[0]))[1])

    before, after = flash(driving) - first_beep(driving), flash(tmp_path / "o.mp4") - first_beep(tmp_path / "o.mp4")
    assert after == pytest.approx(before, abs=0.03)
    animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "p.mp4")], Settings(audio="none"))
    assert not probe(tmp_path / "p.mp4").has_audio


def test_crops_keep_the_shape(source: Path, tmp_path: Path) -> None:
    driving = write_clip(tmp_path / "d.mp4", shades(3, 48, 64))
    out = [Output(tmp_path / "o.mp4")]

    def boxes(**crops: str) -> tuple[Box, Box]:
        report = animate_clip(GreyEngine(), source, driving, out, Settings(force=True, **crops))  # type: ignore[arg-type]
        return report.crop_source, report.crop_driving

    assert boxes() == (Box(0, 10, 40, 40), Box(8, 0, 48, 48))
    assert boxes(crop_source="pad", crop_driving="pad") == (Box(-10, 0, 60, 60), Box(0, -8, 64, 64))
    assert boxes(crop_source="5,5,20,30", crop_driving="0,0,20,20") == (Box(0, 5, 30, 30), Box(0, 0, 20, 20))
    wide = animate_clip(GreyEngine((16, 32)), source, driving, out, Settings(force=True))
    assert (wide.crop_source, wide.crop_driving) == (Box(0, 20, 40, 20), Box(0, 8, 64, 32))
    for crop, said in (("90,0,5,5", "outside"), ("0,0,0,5", "empty"), ("middle", "is no crop")):
        with pytest.raises(FommError, match=said):
            boxes(crop_driving=crop)


def test_motion_crop_looks_at_the_clip(source: Path, tmp_path: Path) -> None:
    """A bright patch that wanders in the right half of a wide still picture."""
    frames = []
    for n in range(12):
        frame = np.full((64, 160, 3), 60, dtype=np.uint8)
        frame[20:44, 100 + 2 * n : 124 + 2 * n] = 230
        frames.append(frame)
    driving = write_clip(tmp_path / "d.mp4", frames)
    report = animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "o.mp4")], Settings(crop_driving="motion"))
    box = report.crop_driving
    assert box.width == box.height
    assert box.left >= 60


def test_rotated_folders_gifs_and_stills_drive(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for n, frame in enumerate(greys(12)):
        Image.fromarray(frame).save(folder / f"{n}.png")
    gif = tmp_path / "d.gif"
    pictures = [Image.fromarray(f) for f in greys(4)]
    pictures[0].save(gif, save_all=True, append_images=pictures[1:], duration=[50, 50, 100, 50], loop=0)
    for driving, count in ((folder, 12), (gif, 4), (source, 1)):
        out = tmp_path / f"{count}.mp4"
        assert animate_clip(GreyEngine(), source, driving, [Output(out)]).frames == count
        assert probe(out).frames == count


def test_a_far_pose_is_said(source: Path, tmp_path: Path) -> None:
    class Turned(GreyEngine):
        def detect(self, frames: np.ndarray):  # type: ignore[no-untyped-def]
            found = super().detect(frames)
            self.count = getattr(self, "count", 0) + 1
            return found if self.count == 1 else found._replace(value=found.value[:, ::-1])

    driving = write_clip(tmp_path / "d.mp4", greys(4))
    report = animate_clip(Turned(), source, driving, [Output(tmp_path / "o.mp4")])
    assert report.distance is not None
    assert report.distance > 0.5
    assert "--crop-source" in report.warnings[0]
    assert animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "p.mp4")]).warnings == []


@pytest.mark.parametrize("stage", ["detect", "render", "driving", "writing"])
def test_a_failure_anywhere_leaves_nothing(
    source: Path, tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = write_clip(tmp_path / "d.mp4", list(np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), np.uint8)),
                         options={"movflags": "+faststart"})  # fmt: skip
    engine = GreyEngine()
    if stage == "driving":
        driving.write_bytes(driving.read_bytes()[:-20_000])
    elif stage == "writing":
        from fomm_cli.media import write

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(write._Movie, "write", full)
    else:
        real = getattr(engine, stage)
        seen: list[int] = []

        def fail(*given: object) -> object:
            seen.append(1)
            if len(seen) == 4:
                raise FommError("The engine broke.")
            return real(*given)

        monkeypatch.setattr(engine, stage, fail)
    with pytest.raises(FommError, match=r"engine broke|incomplete|damaged|no space"):
        animate_clip(engine, source, driving, [Output(tmp_path / "o.mp4"), Output(tmp_path / "frames", "side-by-side")])
    assert leftovers(tmp_path, "source.png", "d.mp4") == []
    assert not [t for t in threading.enumerate() if t.name == "fomm-stage"]


def test_refusals(source: Path, tmp_path: Path) -> None:
    driving = write_clip(tmp_path / "d.mp4", greys(4))
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")

    def attempt(said: str, src: Path = source, drv: Path = driving, out: str = "o.mp4", **settings: str) -> None:
        with pytest.raises(FommError, match=said):
            animate_clip(GreyEngine(), src, drv, [Output(tmp_path / out)], Settings(**settings))  # type: ignore[arg-type]

    attempt("1 x 1 pixels", src=tmp_path / "dot.png")
    attempt("1 x 1 pixels", drv=tmp_path / "dot.png")
    attempt("is no picture", src=driving)
    attempt("is an input", out="d.mp4", force="yes")
    attempt("no frame 9 in .* it has 4", anchor="9")
    attempt("no anchor", anchor="-1")
    attempt("no mode", mode="sideways")
    with pytest.raises(FommError, match="no layout"):
        animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "o.mp4", "grid")])
    assert leftovers(tmp_path, "source.png", "d.mp4", "dot.png") == []


def test_progress_counts_every_frame(source: Path, tmp_path: Path) -> None:
    driving = write_clip(tmp_path / "d.mp4", greys(10))
    seen: list[tuple[str, int, int | None]] = []
    animate_clip(GreyEngine(), source, driving, [Output(tmp_path / "o.mp4")], progress=lambda *at: seen.append(at))
    assert [done for stage, done, _ in seen if stage == "render"] == list(range(1, 11))
    assert ("detect", 10, 10) in seen
    assert {total for _, _, total in seen} == {10}


def test_memory_does_not_grow_with_length(source: Path, tmp_path: Path) -> None:
    """Ten times the frames, the same peak: 900 more frames of 64 px would be 11 MB, their keypoints are 0.1."""
    peaks = []
    for count in (100, 1000):
        driving = write_clip(tmp_path / f"{count}.mp4", greys(count, 64), codec="mpeg4")
        tracemalloc.start()
        animate_clip(GreyEngine((64, 64)), source, driving, [Output(tmp_path / f"o{count}.mp4", "side-by-side")])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert probe(tmp_path / f"o{count}.mp4").frames == count
    assert peaks[1] - peaks[0] < 1.5e6, peaks


def test_animation_needs_no_torch(source: Path, tmp_path: Path) -> None:
    """Pictures, clips, keypoints and threads around an engine that needs none: as an export."""
    write_clip(tmp_path / "d.mp4", greys(4))
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from fomm_cli.animate.clip import Output, animate_clip\n"
        "from tests.engines import GreyEngine\n"
        "animate_clip(GreyEngine(), 'source.png', 'd.mp4', [Output('o.mp4', 'keypoints')])\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert probe(tmp_path / "o.mp4").frames == 4

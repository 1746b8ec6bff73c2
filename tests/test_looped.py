"""The sound of loops."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.media.looped import FADE, write_loop
from fomm_cli.media.video import probe, read_timed
from tests.clips import shades, write_clip

RATE = 16_000


def wave(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        blocks = [block.to_ndarray()[0] for block in container.decode(audio=0)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


@pytest.fixture(scope="module")
def hum(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Two seconds of a tone that swells."""
    path = tmp_path_factory.mktemp("hum") / "hum.wav"
    t = np.arange(2 * RATE) / RATE
    tone = np.rint(20_000 * t / 2 * np.sin(2 * np.pi * 317.3 * t)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
    return path, tone


def test_a_cut_loop_goes_on_where_it_begins(hum: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, tone = hum
    first, last = round(0.3 * RATE), round(1.71 * RATE)
    write_loop(tmp_path / "loop.wav", path, Fraction(3, 10), Fraction(171, 100))
    looped, fade = wave(tmp_path / "loop.wav"), round(FADE * RATE)
    assert len(looped) == last - first
    np.testing.assert_array_equal(looped[fade:], tone[first + fade : last])
    steps = np.abs(np.diff(np.concatenate([looped, looped]).astype(int)))
    usual = np.abs(np.diff(tone[:last].astype(int))).max()
    assert steps.max() <= usual
    assert abs(int(tone[last]) - int(looped[0])) < 0.05 * usual
    assert abs(int(tone[last - 1]) - int(tone[first])) > usual  # so that a plain join clicks


def test_there_and_back(hum: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, tone = hum
    write_loop(tmp_path / "loop.wav", path, Fraction(1, 10), Fraction(19, 10), back=True)
    stretch = tone[round(0.1 * RATE) : round(1.9 * RATE)]
    np.testing.assert_array_equal(wave(tmp_path / "loop.wav"), np.concatenate([stretch, stretch[::-1]]))


def test_what_a_clip_lacks_is_silence(hum: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, tone = hum
    write_loop(tmp_path / "long.wav", path, Fraction(0), Fraction(3))
    looped = wave(tmp_path / "long.wav")
    assert len(looped) == 3 * RATE
    assert not looped[2 * RATE :].any()
    np.testing.assert_array_equal(looped[RATE : 2 * RATE], tone[RATE:])
    mute = write_clip(tmp_path / "mute.mp4", shades(4))
    write_loop(tmp_path / "none.wav", mute, Fraction(0), Fraction(1))
    assert len(wave(tmp_path / "none.wav")) == 0


def heard(path: Path) -> np.ndarray:
    """What a clip sounds, mono, 48,000 samples a second."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", 48_000)
        blocks = [made.to_ndarray()[0] for block in container.decode(audio=0) for made in resampler.resample(block)]
    return np.concatenate(blocks)


def test_a_loop_sounds_as_what_it_shows(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The beep at 0.5 s of 1.3 s comes again on the way back; what is cut lasts as long as its pictures."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)).save("face.png")
    times = [Fraction(t, 1000) for t in (0, 40, 55, 200, 210, 480, 481, 900, 1300)]
    write_clip(tmp_path / "talk.mp4", shades(9), Fraction(7), times, time_base=Fraction(1, 1000), sound="aac",
               beeps=[Fraction(1, 2)])  # fmt: skip
    chosen = ["--weights", str(tiny), "--device", "cpu", "--force"]
    assert main(["motion", "extract", "talk.mp4", "--audio", "embed", *chosen, "-o", "m.safetensors"]) == 0
    for driving in ("talk.mp4", "m.safetensors"):
        capsys.readouterr()
        assert main(["animate", "face.png", driving, "-o", "l.mkv", "--loop", "pingpong", "--json", *chosen]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["frames"], document["sound"]) == (16, True)
        assert not any("sound" in said for said in document["warnings"])
        loud = np.flatnonzero(np.abs(heard(tmp_path / "l.mkv")) > 0.1) / 48_000
        forth, back = loud[loud < 1.3], loud[loud > 1.3]
        assert (forth[0], back[-1]) == (pytest.approx(0.5, abs=0.03), pytest.approx(2.1, abs=0.03))
    assert main(["animate", "face.png", "talk.mp4", "-o", "c.webm", "--loop", "cut", *chosen]) == 0
    *_, (_, last, lasts) = read_timed(tmp_path / "c.webm")
    assert len(heard(tmp_path / "c.webm")) / 48_000 == pytest.approx(float(last + lasts), abs=0.03)
    assert main(["animate", "face.png", "talk.mp4", "-o", "n.mkv", "--loop", "cut", "--audio", "none", *chosen]) == 0
    assert not probe(tmp_path / "n.mkv").has_audio

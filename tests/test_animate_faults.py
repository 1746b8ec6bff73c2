"""`fomm animate` with odd and hostile arguments: nothing of the user's is lost, and every refusal is one clear line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.media.video import probe, read_frames, read_timed
from tests.clips import shades, write_clip
from tests.engines import tiny_config, tiny_model
from tests.processes import Command

POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes, links and signals of POSIX")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fomm_cli.weights.file import save_weights

    return save_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", tiny_model(), tiny_config())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with face.png and talk.mp4 in it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)).save("face.png")
    write_clip(tmp_path / "talk.mp4", shades(7), sound="aac")
    return tmp_path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def animate(weights: Path | str, *arguments: str) -> int:
    return main(["animate", *arguments, "--weights", str(weights), "--device", "cpu"])


# ----------------------------------------------------------------------------------------------------------- data loss


def test_force_keeps_the_users_pictures(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pics").mkdir()
    for name in ("me.png", "holiday.png"):
        shutil.copy("face.png", folder / "pics" / name)
    before = everything(folder)
    assert animate(weights, "pics/me.png", "talk.mp4", "-o", "pics", "--force") == 1
    assert "an input" in capsys.readouterr().err
    assert animate(weights, "face.png", "talk.mp4", "-o", "pics", "--force") == 1
    assert "holiday.png" in capsys.readouterr().err
    assert everything(folder) == before


def test_force_replaces_our_own_frames_but_not_an_input_among_them(folder: Path, weights: Path) -> None:
    assert animate(weights, "face.png", "talk.mp4", "-o", "out") == 0
    assert animate(weights, "face.png", "talk.mp4", "-o", "out", "--force", "--end", "0.1") == 0
    assert len(list((folder / "out").glob("*.png"))) == 3
    before = everything(folder)
    assert animate(weights, "out/000000.png", "talk.mp4", "-o", "out", "--force") == 1
    assert animate(weights, "face.png", "out", "-o", "out", "--force") == 1
    assert everything(folder) == before


def test_export_force_keeps_a_folder_that_is_not_an_export(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("x")
    assert main(["export", str(weights), "-o", "mine", "--force"]) == 1
    assert "thesis.txt" in capsys.readouterr().err
    assert (folder / "mine" / "thesis.txt").read_text() == "x"
    assert main(["export", "no-such-weights", "-o", "mine", "--force"]) == 1
    assert "thesis.txt" in capsys.readouterr().err, "told before the weights are looked for"


@POSIX
def test_an_output_that_is_a_link_is_written_through(folder: Path, weights: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    assert animate(weights, "face.png", "talk.mp4", "-o", "link", "--force") == 0
    assert (folder / "link").is_symlink()
    assert len(list((folder / "real").glob("*.png"))) == 7
    assert not list(folder.glob(".*"))


def start(folder: Path, weights: Path, *arguments: str) -> Command:
    command = Command("animate", "face.png", "talk.mp4", "--weights", weights, *arguments, cwd=folder)
    until = time.monotonic() + 60
    while not list(folder.glob(".out.*.part*")) and time.monotonic() < until:
        assert command.poll() is None, command.said
        time.sleep(0.02)
    return command


@POSIX
@pytest.mark.parametrize("output", ["out.mp4", "out"])
def test_a_closed_terminal_leaves_nothing_and_a_kill_is_cleared_away(folder: Path, weights: Path, output: str) -> None:
    write_clip(folder / "talk.mp4", shades(6000, 32, 32), codec="mpeg4")
    first = start(folder, weights, "-o", output)
    assert animate(weights, "face.png", "talk.mp4", "-o", output, "--end", "0.2") == 1, "two writers of one output"
    first.send_signal(signal.SIGHUP)
    assert first.wait(60) == 129
    assert {path.name for path in folder.iterdir()} == {"face.png", "talk.mp4"}
    second = start(folder, weights, "-o", output)
    second.kill()
    second.wait(60)
    assert list(folder.glob(".out.*"))
    assert animate(weights, "face.png", "talk.mp4", "-o", output, "--end", "0.2") == 0
    assert {path.name for path in folder.iterdir()} == {"face.png", "talk.mp4", output}


# ------------------------------------------------------------------------------------------------------ words and names


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["face.png", "talk.mp4", "-o", "-"], 2, "standard output"),
        (["face.png", "talk.mp4", "-o", ".mp4"], 2, "no name"),
        (["face.png", "talk.mp4", "-o", ""], 2, "no name"),
        (["face.png", "talk.mp4", "-o", "/dev/null"], 2, "device"),
        (["https://example.org/a.png", "talk.mp4"], 2, "address"),
        (["face.png", "https://example.org/a.mp4"], 2, "address"),
        (["pipe.png", "talk.mp4"], 2, "pipe"),
        (["face.png", "pipe.png"], 2, "pipe"),
        (["face.png", "talk.mp4", "--fps", "24"], 2, "folders of pictures"),
        (["face.png", "talk.mp4", "--start", "soon"], 2, "no time"),
        (["face.png", "talk.mp4", "--start", "3", "--end", "2"], 1, "Nothing lies between"),
        (["face.png", "talk.mp4", "--start", "9"], 1, "no frames between"),
        (["face.png", "talk.mp4", "--audio-track", "2"], 1, "no sound track 2"),
        (["face.png", "talk.mp4", "--crop-source", "0,0,60000,60000"], 1, "far larger"),
        (["face.png", "talk.mp4", "--crop-driving", "0,0,9999999999999999999,9999999999999999999"], 1, "far larger"),
        (["a" * 300 + ".png", "talk.mp4"], 1, "too long"),
        (["face.png", "a" * 300 + ".mp4"], 1, "too long"),
        (["face.png", "talk.mp4", "-o", "a" * 300 + ".mp4"], 1, "too long"),
        (["face.png", "talk.mp4", "--weights", "w" * 300], 1, "too long"),
        (["loop.png", "talk.mp4"], 1, "loop.png"),
        (["face.png", "loop.mp4"], 1, "loop.mp4"),
        (["face.png", "talk.mp4/inside.mp4"], 1, "talk.mp4/inside.mp4"),
    ],
)  # fmt: skip
@POSIX
def test_refusals_are_a_line_and_come_before_the_weights(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    os.mkfifo("pipe.png")
    for name in ("loop.png", "loop.mp4"):
        Path(name).symlink_to(name)
    before = sorted(path.name for path in folder.iterdir())
    named = [] if "--weights" in arguments else ["--weights", "no-such.safetensors"]
    assert main(["animate", *arguments, *named]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert "no-such" not in printed.err
    assert len(printed.err.strip().splitlines()) <= 2
    if code == 2:
        assert len(printed.err.strip().splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["成" * 80 + ".mp4", "é" * 125 + ".mp4", "n" * 251 + ".mp4", "成" * 80])
def test_long_names_are_counted_in_bytes(folder: Path, weights: Path, name: str) -> None:
    assert animate(weights, "face.png", "talk.mp4", "-o", name) == 0
    assert (folder / name).exists()
    assert {path.name for path in folder.iterdir()} == {"face.png", "talk.mp4", name}


def test_default_names_are_made_short_enough(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, driving = "s" * 200 + ".png", "成" * 80 + ".mp4"
    (folder / "face.png").rename(source)
    (folder / "talk.mp4").rename(driving)
    assert animate(weights, source, driving) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["weights", "list"], ["config", "list"], ["--version"]])
def test_a_full_standard_output_is_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "fomm_cli", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "no space is left" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_control_characters_of_names_are_escaped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["animate", "\x1b]0;owned\x07.png", "talk.mp4"]) == 1
    said = capsys.readouterr().err
    assert "\x1b]0" not in said
    assert "\\x1b]0;owned\\x07.png" in said


# -------------------------------------------------------------------------------------------------------- small wishes


def test_a_folder_of_pictures_at_a_rate(folder: Path, weights: Path) -> None:
    (folder / "f").mkdir()
    for number, frame in enumerate(shades(6)):
        Image.fromarray(frame).save(folder / "f" / f"{number}.png")
    assert animate(weights, "face.png", "f", "-o", "o.mp4", "--fps", "30000/1001") == 0
    assert probe(folder / "o.mp4").rate == Fraction(30000, 1001)
    assert [time for _, time, _ in read_timed(folder / "o.mp4")] == [Fraction(n * 1001, 30000) for n in range(6)]


def test_a_stretch_of_the_clip_with_its_sound(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(folder / "talk.mp4", shades(50), sound="aac", beeps=[Fraction(28, 25)])
    assert animate(weights, "face.png", "talk.mp4", "-o", "o.mp4", "--start", "1", "--end", "0:01.6", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["sound"]) == (15, True)
    assert sum(lasts for _, _, lasts in read_timed(folder / "o.mp4")) == Fraction(6, 10)
    from tests.clips import first_beep

    assert first_beep(folder / "o.mp4") == pytest.approx(3 / 25, abs=0.03)


def test_a_damaged_clip_is_refused_or_used_with_a_warning(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8))
    write_clip(folder / "talk.mp4", noise, options={"movflags": "+faststart"})
    data = (folder / "talk.mp4").read_bytes()
    (folder / "talk.mp4").write_bytes(data[: len(data) * 2 // 3])
    assert main(["animate", "face.png", "talk.mp4", "-o", "o.mp4", "--weights", "no-such.safetensors"]) == 1
    assert "is incomplete" in capsys.readouterr().err
    assert not (folder / "o.mp4").exists()
    assert animate(weights, "face.png", "talk.mp4", "-o", "o.mp4", "--allow-damaged", "--json") == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert 0 < document["frames"] < 30
    assert len(document["warnings"]) == 1
    assert "is incomplete" in told.err
    assert len(list(read_frames(folder / "o.mp4"))) == document["frames"]


def test_sound_that_was_left_out_is_said(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(folder / "u.mov", shades(5), sound="alac")
    (folder / "u.mov").write_bytes((folder / "u.mov").read_bytes().replace(b"alac", b"zzzz"))
    assert animate(weights, "face.png", "u.mov", "-o", "o.mp4", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["sound"] is False
    assert "no sound" in told.err
    assert "left out" in told.err


def test_a_long_thin_picture_is_padded_within_memory() -> None:
    from fomm_cli.boxes import pad_box
    from fomm_cli.media.image import fit

    thin = np.full((20, 60_000, 3), 200, dtype=np.uint8)
    assert fit(thin, (64, 64), pad_box(20, 60_000, 1.0)).shape == (64, 64, 3)

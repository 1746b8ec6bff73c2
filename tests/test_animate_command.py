"""`fomm animate` through its entry point: what it prints, its exit codes, and what Ctrl-C leaves behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.media.video import probe, read_frames
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT
from tests.clips import shades, write_clip
from tests.engines import tiny_config, tiny_model
from tests.processes import Command


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fomm_cli.weights.file import save_weights

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return save_weights(path, tiny_model(), tiny_config())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with face.png and talk.mp4 in it."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)).save("face.png")
    write_clip(tmp_path / "talk.mp4", shades(7), sound="aac")
    return tmp_path


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"face.png", "talk.mp4"}


def test_the_default_name_and_what_is_said(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["animate", "face.png", "talk.mp4", "--weights", str(weights)]) == 0
    said = capsys.readouterr()
    assert said.out == "face-talk.mp4\n"
    assert said.err.count("Engine: ") == 1
    assert " on cpu" in said.err or "cuda" in said.err
    assert "7 frames" in said.err
    assert "with sound" in said.err
    assert "cartoon" not in said.err, "only the default weights need an introduction"
    info = probe(folder / "face-talk.mp4")
    assert (info.frames, info.rate, info.has_audio, info.width, info.height) == (7, 25, True, 32, 32)


def test_json_is_one_document_on_stdout(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--weights", str(weights), "-o", "out.webm", "--layout", "side-by-side", "--json", "--device", "cpu"]
    assert main(["animate", "face.png", "talk.mp4", *arguments, "--engine", "plain", "--audio", "none"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outputs"] == ["out.webm"]
    assert (document["frames"], document["rate"], document["sound"]) == (7, "25", False)
    assert document["engine"].startswith("plain fp32 on cpu")
    assert document["anchor"] in range(7)
    assert probe(folder / "out.webm").width == 96


def test_the_default_weights_say_what_they_know(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomm_cli.weights import load

    real = load.load_model
    monkeypatch.setattr(load, "load_model", lambda name=weights, device="auto": real(name, device))
    assert main(["animate", "face.png", "talk.mp4", "--device", "cpu"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"{DEFAULT}, which know {CATALOGUE[DEFAULT].domain}" in said
    assert "fomm weights list" in said


def test_engines_agree(folder: Path, weights: Path) -> None:
    for name, options in {"p": ["--engine", "plain"], "f": ["--engine", "fused", "--precision", "fp32"]}.items():
        assert main(["animate", "face.png", "talk.mp4", "-o", name, "--weights", str(weights), *options]) == 0
    pairs = zip(read_frames(folder / "p"), read_frames(folder / "f"), strict=True)
    assert max(int(np.abs(a.astype(int) - b).max()) for a, b in pairs) <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody.png", "talk.mp4"], 1, "nobody.png does not exist"),
        (["face.png", "nobody.mp4"], 1, "nobody.mp4 does not exist"),
        (["talk.mp4", "face.png"], 1, "is no picture"),
        (["face.png", "talk.mp4", "--weights", "vox-265"], 1, "vox-256"),
        (["face.png", "talk.mp4", "--anchor", "99"], 1, "no frame 99"),
        (["face.png", "talk.mp4", "--device", "cudda"], 1, "no device"),
        (["face.png", "talk.mp4", "-o", "face.png/x.mp4"], 1, "could not be written"),
        (["face.png", "talk.mp4", "-o", "talk.mp4", "--force"], 1, "is an input"),
        (["face.png", "talk.mp4", "-o", "talk.mp4"], 1, "is an input"),
        (["face.png", "talk.mp4", "--crop-driving", "900,0,8,8"], 1, "outside the picture"),
        (["face.png", "talk.mp4", "-o", "x.wmv"], 2, "no suffix"),
        (["face.png", "talk.mp4", "--anchor", "frist"], 2, "'first'"),
        (["face.png", "talk.mp4", "--crop-source", "motion"], 2, "no motion in a picture"),
        (["face.png", "talk.mp4", "--crop-driving", "centre"], 2, "'center'"),
        (["face.png", "talk.mp4", "--mode", "relativ"], 2, "relativ"),
        (["face.png", "talk.mp4", "--layout", "grid"], 2, "grid"),
        (["face.png", "talk.mp4", "--crf", "99"], 2, "crf"),
        (["face.png", "talk.mp4", "--frobnicate"], 2, "frobnicate"),
        (["face.png"], 2, "DRIVING"),
    ],
)
def test_mistakes_are_two_lines_and_leave_nothing(
    folder: Path, weights: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    given = arguments if "--weights" in arguments else [*arguments, "--weights", str(weights)]
    assert main(["animate", *given]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    flat = " ".join(printed.err.replace("│", " ").split())
    assert said in flat
    assert "Traceback" not in flat
    assert files(folder) == set()


def test_an_existing_output_needs_force(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out.mp4").write_text("precious")
    command = ["animate", "face.png", "talk.mp4", "-o", "out.mp4", "--weights", str(weights)]
    assert main(command) == 1
    assert "--force" in capsys.readouterr().err
    assert (folder / "out.mp4").read_text() == "precious"
    assert main([*command, "--force"]) == 0
    assert probe(folder / "out.mp4").frames == 7


def test_an_empty_folder_is_a_free_output(folder: Path, weights: Path) -> None:
    (folder / "frames").mkdir()
    assert main(["animate", "face.png", "talk.mp4", "-o", "frames", "--weights", str(weights)]) == 0
    assert len(list((folder / "frames").glob("*.png"))) == 7
    assert main(["animate", "face.png", "talk.mp4", "-o", "frames", "--weights", str(weights)]) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_half_written_file(folder: Path, weights: Path, sent: signal.Signals, code: int) -> None:
    write_clip(folder / "talk.mp4", shades(6000, 32, 32), codec="mpeg4")
    arguments = ["animate", "face.png", "talk.mp4", "-o", "out.mp4", "--weights", str(weights), "--device", "cpu"]
    command = Command(*arguments, cwd=folder)
    until = time.monotonic() + 60
    while not list(folder.glob(".out.*.part.mp4")) and time.monotonic() < until:
        assert command.poll() is None, command.said
        time.sleep(0.02)
    command.send_signal(sent)
    assert command.wait(60) == code, command.said
    assert "Traceback" not in command.said
    assert files(folder) == set()

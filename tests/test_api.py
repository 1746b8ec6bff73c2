"""The page for Python users runs as it is printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import fomm_cli
from fomm_cli import api
from fomm_cli.files.disk import ASSETS
from fomm_cli.media.image import read_image
from fomm_cli.media.video import probe, read_frames
from tests.clips import shades, write_clip
from tests.training import tiny_clips, tiny_file

PAGE = Path(__file__).parent.parent / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)


def test_every_name_is_there() -> None:
    assert all(hasattr(api, name) for name in api.__all__)
    assert fomm_cli.Animator is api.Animator
    assert fomm_cli.load_model is api.load_model


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, arrays, training, measuring = BLOCKS
    monkeypatch.chdir(tmp_path)
    for name in ("portrait", "anna", "bert"):
        shutil.copy(ASSETS / "portrait.png", f"{name}.png")
    write_clip(tmp_path / "clip.mp4", shades(3))
    tiny_clips(tmp_path / "clips")
    tiny_file(tmp_path / "tiny.yaml")
    known = {"source": read_image("portrait.png"), "driving": list(read_frames(tmp_path / "clip.mp4"))}
    exec(files, known)
    assert [probe(tmp_path / f"{name}.mp4").frames for name in ("moving", "anna", "bert")] == [3, 3, 3]
    exec(arrays, known)
    assert known["frame"].shape == (128, 128, 3)
    exec(training.replace('"toon-64"', '"tiny.yaml"'), known)
    assert known["model"].size == (16, 16)
    exec(measuring, known)
    assert set(known["result"].report["results"]) == {"copy", "toon-128"}
    assert probe(tmp_path / "rebuilt.mp4").frames == 3

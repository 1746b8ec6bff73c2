"""`fomm reconstruct`: one clip."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fomm_cli.errors import FommError
from fomm_cli.evaluate.reconstruct import reconstruct
from tests.evaluation import SIDE, run, strip


def test_reconstruct_one_clip(clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, out = clips / "test" / "anna#1.png", tmp_path / "frames"
    found = run(capsys, "reconstruct", clip, "-w", tiny, "-o", out, "--json")
    pictures = sorted(out.glob("*.png"))
    assert found["frames"] == len(pictures) == 5
    assert Image.open(pictures[0]).size == (3 * SIDE, SIDE), "clip, result and error side by side"
    table = run(capsys, "eval", "reconstruction", "--data", clips, "-w", tiny, "--json")
    assert found["l1"] == pytest.approx(table["per_clip"]["anna#1"]["tiny"]["l1"], abs=1e-7)
    assert "exists" in run(capsys, "reconstruct", clip, "-w", tiny, "-o", out, code=1)
    movie = tmp_path / "out.mp4"
    assert "L1" in run(capsys, "reconstruct", out, "-w", tiny, "-o", movie, "--layout", "result")
    assert movie.stat().st_size > 0
    assert "does not exist" in run(
        capsys, "reconstruct", tmp_path / "no.mp4", "-w", tiny, "-o", movie, "--force", code=1
    )
    lonely = tmp_path / "lonely.png"
    Image.fromarray(strip(0, 1)).save(lonely)
    assert "single frame" in run(capsys, "reconstruct", lonely, "-w", tiny, "-o", tmp_path / "l.mp4", code=1)
    assert not (tmp_path / "l.mp4").exists()


def test_the_clip_is_not_written_over(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"frames")
    with pytest.raises(FommError, match="is an input"):
        reconstruct(clip, clip, "toon-128", force=True)
    assert clip.read_bytes() == b"frames"

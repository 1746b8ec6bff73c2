"""`fomm eval faces`: real clips, moved portraits with true answers, eyes and mouths, toons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.evaluate.health import TARGETS, answer, check, questions
from fomm_cli.evaluate.methods import Copy, Take
from tests.evaluation import SIDE, run

CPU = torch.device("cpu")


def strip(path: Path, frames: np.ndarray) -> None:
    """uint8 (T, S, S, 3) side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(frames), 1)).save(path)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three real clips, and two held-out people with boxes and pairs: pictures of noise."""
    random = np.random.default_rng(0)
    home = tmp_path_factory.mktemp("faces")
    real, puppets = home / "real", home / "puppets"

    def noise(frames: int) -> np.ndarray:
        return random.integers(0, 255, (frames, SIDE, SIDE, 3), np.uint8)

    for number in range(3):
        strip(real / f"clip{number}.png", noise(4))
    boxes = {}
    for number in range(2):
        strip(puppets / "test" / f"p{number}#0.png", noise(3))
        strip(puppets / "test" / f"p{number}#1.png", noise(3))
        boxes[f"p{number}#1"] = [[[2, 2, 8, 6], [10, 2, 16, 6], [4, 10, 12, 16]]] * 3
        for name, frames in (("source", 1), ("driving", 3), ("relative", 3), ("absolute", 3)):
            strip(puppets / "pairs" / f"{number:03d}" / f"{name}.png", noise(frames))
    (puppets / "test-boxes.json").write_text(json.dumps({"parts": [], "boxes": boxes}))
    return real, puppets


class Oracle:
    """Answers with the truth of the question that is being asked, but for a clip it copies too brightly."""

    name, size = "oracle", (SIDE, SIDE)

    def __init__(self, asked: list[Any], bad: str = "") -> None:
        self.known = [(one.ask(SIDE, CPU), one.name == bad) for one in asked]

    def start(self, source: torch.Tensor, initial: torch.Tensor, mode: str, adapt_scale: bool = True) -> Any:
        def perform(driving: torch.Tensor) -> Take:
            for question, bad in self.known:
                if torch.equal(question.driving, driving) and torch.equal(question.source, source):
                    made = 1 - question.truth if bad else question.truth
                    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
                    return Take(made, corners.expand(len(driving), 4, 2))
            raise AssertionError("an unknown question")

        return perform


def test_copying_scores_one(material: tuple[Path, Path]) -> None:
    found = check(Copy(), questions(*material), identities=0)
    assert set(found) == {"reconstruction", "puppets", "animation", "details", "spread"}
    assert all(found[kind]["ratio"] == 1 for kind in found if kind != "spread")
    assert found["reconstruction"]["worse"] == 0
    assert not found["puppets"]["reached"]


def test_a_perfect_network_reaches_every_target_and_one_bad_clip_shows(material: tuple[Path, Path]) -> None:
    asked = questions(*material)
    found = check(Oracle(asked), asked, identities=0)
    assert all(row["reached"] for row in found.values())
    assert found["animation"]["ratio"] == 0
    found = check(Oracle(asked, bad="clip1"), asked, identities=0)
    assert found["reconstruction"]["worse"] == 1
    assert not found["reconstruction"]["reached"]
    clips = found["reconstruction"]["clips"]
    assert {name: clip["l1"] > clip["copy_l1"] for name, clip in clips.items()} == {
        "clip0": False,
        "clip1": True,
        "clip2": False,
    }


def test_every_frame_of_a_clip_counts_and_only_boxes_of_a_held_head(material: tuple[Path, Path]) -> None:
    asked = {one.kind: one for one in questions(*material, limit=1)}
    clip = asked["reconstruction"].ask(SIDE, CPU)
    assert torch.equal(clip.driving[:1], clip.source)  # the first frame drives too
    frames = clip.truth
    expected = (frames - frames[:1]).abs().double().mean()
    assert answer(Copy(), asked["reconstruction"], SIDE, CPU).copy == pytest.approx(float(expected))
    held = asked["details"].ask(SIDE, CPU)
    assert held.area is not None
    assert held.area[0].sum() == 6 * 4 * 2 + 8 * 6
    double = asked["details"].ask(2 * SIDE, CPU).area
    assert double is not None
    assert double[0].sum() == 4 * held.area[0].sum()  # boxes grow with the frame
    pair = asked["animation"].ask(SIDE, CPU)
    assert len(pair.driving) == len(pair.truth) == 2
    assert not torch.equal(pair.initial, pair.source)


def test_eval_faces(tiny: Path, material: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    real, puppets = material
    words = ["eval", "faces", "--data", real, "--puppets", puppets, "-w", tiny, "--identities", "1", "--device", "cpu"]
    found = run(capsys, *words, "--json")
    rows = found["weights"]["tiny"]
    assert set(rows) == set(TARGETS)
    assert set(rows["reconstruction"]["clips"]) == {"clip0", "clip1", "clip2"}
    assert rows["details"]["l1"] / rows["details"]["copy_l1"] == pytest.approx(rows["details"]["ratio"])
    table = run(capsys, *words)
    assert "of 3 clips" in table
    assert "at most 0.55" in table


def test_puppets_without_pairs_are_answered(
    tiny: Path, material: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, puppets = material
    strip(tmp_path / "test" / "a#0.png", np.zeros((2, SIDE, SIDE, 3), np.uint8))
    (tmp_path / "test-boxes.json").write_text((puppets / "test-boxes.json").read_text())
    words = ["eval", "faces", "--data", str(real), "--puppets", str(tmp_path), "-w", str(tiny), "--device", "cpu"]
    assert main(words) == 1
    assert "--pairs" in capsys.readouterr().err

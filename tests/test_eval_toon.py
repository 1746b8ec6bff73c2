"""`fomm eval toon`, the health check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fomm_cli.evaluate.methods import Copy, Take
from fomm_cli.evaluate.toon import People, check, summary
from tests.evaluation import SIDE, run


def test_copying_scores_one_on_toon() -> None:
    done = check(Copy(), identities=3, frames=3, size=SIDE)
    for kind, estimate in done.ratio.items():
        assert estimate.value == 1, kind
    found = summary(done)
    assert not found["animation"]["reached"]
    assert found["spread"]["value"] is None


class Oracle:
    """Knows every answer: what a perfect network would score."""

    name, size = "oracle", (SIDE, SIDE)

    def __init__(self, people: People) -> None:
        self.people = people

    def start(self, source: torch.Tensor, initial: torch.Tensor, mode: str, adapt_scale: bool = True) -> Any:
        def perform(driving: torch.Tensor) -> Take:
            for i in range(2):
                for asked in (self.people.reconstruction(i), self.people.animation(i), self.people.details(i)):
                    if torch.equal(asked.driving, driving) and torch.equal(asked.source, source):
                        square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
                        return Take(asked.truth, square.expand(len(driving), 4, 2))
            raise AssertionError("an unknown question")

        return perform


def test_a_perfect_network_reaches_every_target() -> None:
    found = summary(check(Oracle(People(3, SIDE)), identities=2, frames=3, size=SIDE))
    assert all(part["reached"] for part in found.values())
    assert found["animation"]["ratio"] == 0
    assert found["spread"]["value"] == pytest.approx((8 + 2 * 8**0.5) / 6)


def test_toon_questions_are_what_they_say() -> None:
    people = People(4, SIDE)
    asked = people.animation(0)
    assert asked.source.shape == (1, 3, SIDE, SIDE)
    assert asked.driving.shape == asked.truth.shape == (4, 3, SIDE, SIDE)
    assert torch.equal(asked.source, people.reconstruction(0).source), "the same person in the same start pose"
    assert (asked.truth - asked.source).abs().mean() < (asked.truth - asked.driving).abs().mean(), "A, moving as B"
    absolute = people.animation(0, absolute=True)
    assert torch.equal(absolute.driving, asked.driving)
    assert not torch.equal(absolute.truth, asked.truth)
    area = people.details(0).area
    assert area is not None
    assert 0 < area.mean() < 0.7
    assert not torch.equal(People(4, SIDE, seed=1).reconstruction(0).source, asked.source)


def test_eval_toon(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "toon", "-w", tiny, "--identities", "2", "--frames", "2"]
    found = run(capsys, *arguments, "--json")
    four = found["weights"]["tiny"]
    assert set(four) == {"reconstruction", "animation", "details", "spread"}
    assert four["spread"]["value"] > 0
    assert four["animation"]["l1"] / four["animation"]["copy_l1"] == pytest.approx(four["animation"]["ratio"])
    assert found["size"]["tiny"] == SIDE
    assert "at most 0.35" in run(capsys, *arguments)

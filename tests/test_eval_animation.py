"""`fomm eval animation`: drawn people against the truth, real pairs by detectors, FID."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fomm_cli.data.clips import find_clip
from fomm_cli.evaluate.testset import draw_pairs, read_pairs
from tests.evaluation import Blob, run


def test_eval_animation_on_toon(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "animation", "-w", tiny, "--identities", "3", "--frames", "2", "--out", tmp_path / "r"]
    found = run(capsys, *arguments, "--json")
    assert list(found["results"]) == ["copy, relative", "tiny, relative", "copy, absolute", "tiny, absolute"]
    assert found["results"]["copy, absolute"]["l1"]["over_copy"]["value"] == 1
    ours = found["results"]["tiny, relative"]["l1"]
    copied = found["results"]["copy, relative"]["l1"]
    assert ours["over_copy"]["value"] == pytest.approx(ours["value"] / copied["value"])
    four = run(capsys, "eval", "toon", "-w", tiny, "--identities", "3", "--frames", "2", "--json")["weights"]["tiny"]
    assert four["animation"]["l1"] == pytest.approx(ours["value"]), "one definition"
    assert "true relative" not in (tmp_path / "r" / "report.html").read_text(), "labels are in the pictures"
    assert (tmp_path / "r" / "report.html").read_text().count("<figure>") == 3
    assert run(capsys, *arguments, "--json") == found


def test_pairs_from_a_list(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refs = [ref for path in sorted((clips / "test").iterdir()) if (ref := find_clip(path)) is not None]
    table = tmp_path / "pairs.csv"
    table.write_text("distance,source,driving,frame\n0.1,anna#1.png,bob#1,2\n0.2,bob#1,anna#2.png,\n")
    first, second = read_pairs(table, refs)
    assert (first.source.name, first.driving.name, first.frame) == ("anna#1", "bob#1", 2)
    assert second.frame == 0
    base = ["eval", "animation", "--data", clips, "--pairs", table]
    table.write_text("source,driving\nanna#1,carl\n")
    error = run(capsys, *base, code=1)
    assert "line 2" in error
    assert "carl" in error
    table.write_text("a,b\n1,2\n")
    assert "no column 'source'" in run(capsys, *base, code=1)
    table.write_text("source,driving,frame\nanna#1,bob#1,-2\n")
    assert "no frame number" in run(capsys, *base, code=1)
    table.write_text("")
    assert "lists no pairs" in run(capsys, *base, code=1)


def test_random_pairs_are_of_two_people_and_seeded(clips: Path) -> None:
    refs = [ref for path in sorted((clips / "test").iterdir()) if (ref := find_clip(path)) is not None]
    pairs = draw_pairs(refs, 10, seed=0)
    assert len(pairs) == 4, "two clips of Anna and one of Bob, either way round"
    assert all(pair.source.identity != pair.driving.identity for pair in pairs)
    assert draw_pairs(refs, 2, seed=0) == draw_pairs(list(reversed(refs)), 2, seed=0)
    assert len({tuple(draw_pairs(refs, 2, seed)) for seed in range(8)}) > 1


def test_eval_animation_of_real_pairs(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomm_cli.detectors.choice import Chosen

    blob = Blob()
    monkeypatch.setattr("fomm_cli.detectors.choice.build", lambda *_: Chosen(blob, blob))
    found = run(capsys, "eval", "animation", "--data", clips, "-w", tiny, "--count", "2", "--mode", "relative",
                "--out", tmp_path / "r", "--json")  # fmt: skip
    copied = found["results"]["copy, relative"]
    assert copied["identity"]["value"] == 0
    assert copied["mkr"]["value"] == 0
    assert copied["pose"]["value"] > 0
    assert copied["pose"]["missing"] == {"truth": 0, "result": 0}
    ours = found["results"]["tiny, relative"]
    assert ours["identity"]["value"] > 0
    assert copied["flicker"]["value"] == 0
    assert ours["flicker"]["value"] > 0
    assert any("not comparable" in note for note in found["notes"].copy())
    assert (tmp_path / "r" / "report.html").read_text().count("<figure>") == 2
    assert "'both'" in run(capsys, "eval", "animation", "--mode", "both", code=1)
    assert "no metric 'l1'" in run(capsys, "eval", "animation", "--data", clips, "--metrics", "l1", code=1)


def test_fid_with_an_injected_network(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomm_cli.evaluate.frechet import Inception

    def network(batch: torch.Tensor) -> torch.Tensor:
        assert batch.dtype == torch.uint8
        return batch.float().mean((2, 3))

    monkeypatch.setattr(
        "fomm_cli.evaluate.frechet.load", lambda path, device, say: Inception(network, torch.device("cpu"))
    )
    base = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--metrics", "l1,fid"]
    assert "--out" in run(capsys, *base, code=1)
    found = run(capsys, *base, "--out", tmp_path / "r", "--json")
    values = [found["results"][name]["fid"]["value"] for name in ("copy", "tiny")]
    assert 0 < values[0] < values[1]
    assert found["results"]["copy"]["fid"]["count"] == 12
    assert any("biased" in note for note in found["notes"])
    kept = sorted((tmp_path / "r" / "clips").glob("*/*.npz"))
    kept[0].unlink()
    assert run(capsys, *base, "--out", tmp_path / "r", "--json") == found, "a clip without its features is done again"
    pairs = ["eval", "animation", "--data", clips, "--metrics", "fid", "--count", "2", "--mode", "absolute"]
    crossed = run(capsys, *pairs, "--out", tmp_path / "p", "--json")
    assert crossed["results"]["copy, absolute"]["fid"]["value"] > 0

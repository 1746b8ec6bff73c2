"""`fomm eval` and `fomm reconstruct`, through their entry point, on tiny clips and a tiny network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.data.clips import find_clip
from fomm_cli.evaluate.measures import Measures
from fomm_cli.evaluate.methods import Copy, Take
from fomm_cli.evaluate.observers import Observers
from fomm_cli.evaluate.pairs import draw, read
from fomm_cli.evaluate.paper import PAPER, known_set
from fomm_cli.evaluate.ranks import Ranks
from fomm_cli.evaluate.reconstruction import measure
from fomm_cli.evaluate.records import Record
from fomm_cli.evaluate.sheets import error_map, picked
from fomm_cli.evaluate.toon import People, check, summary
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.weights.file import save_weights

SIDE = 32
SMALL = [
    "data.frame_shape=[32,32]",
    "model.num_kp=4",
    *(f"model.{part}.block_expansion=4" for part in ("detector", "dense_motion", "generator")),
    *(f"model.{part}.max_features=8" for part in ("detector", "dense_motion", "generator")),
    *(f"model.{part}.num_blocks=1" for part in ("detector", "dense_motion")),
    "model.generator.num_down_blocks=1",
    "model.generator.num_bottleneck_blocks=1",
]


def strip(seed: int, frames: int, side: int = SIDE) -> np.ndarray:
    """Film strip (side, side * frames, 3): a bright square wanders over noise."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 120, (side, side, 3), dtype=np.uint8)
    made = []
    for _ in range(frames):
        frame = picture.copy()
        y, x = rng.integers(2, side - 10, 2)
        frame[y : y + 8, x : x + 8] = 255
        made.append(frame)
    return np.concatenate(made, axis=1)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three test clips of 5, 3 and 4 frames, two of one person, and one to train."""
    root = tmp_path_factory.mktemp("eval") / "set"
    for part, names in {"train": ["t#1"], "test": ["anna#1", "anna#2", "bob#1"]}.items():
        (root / part).mkdir(parents=True)
        for seed, name in enumerate(names):
            Image.fromarray(strip(seed, 5 - 2 * (seed % 2) - seed // 2)).save(root / part / f"{name}.png")
    return root


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = configs.load("toon-64", SMALL)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, FirstOrderModel(config.model, (SIDE, SIDE)), config)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> Any:
    """The JSON a command prints, or what it says on stderr where it is to fail."""
    capsys.readouterr()
    got = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    assert got == code, err
    return json.loads(out) if "--json" in arguments and not code else err if code else out


def test_copy_baseline_is_what_numpy_says(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "eval", "reconstruction", "--data", clips, "--baseline", "copy", "--json")
    each = []
    for path in sorted((clips / "test").glob("*.png")):
        cells = np.stack(np.split(np.asarray(Image.open(path)), np.asarray(Image.open(path)).shape[1] // SIDE, axis=1))
        each.append(np.abs(cells / 255 - cells[:1] / 255).mean((1, 2, 3)))
    l1 = found["results"]["copy"]["l1"]
    assert l1["value"] == pytest.approx(np.concatenate(each).mean(), abs=1e-7)
    assert l1["per_video"]["value"] == pytest.approx(np.mean([one.mean() for one in each]), abs=1e-7)
    assert (l1["count"], l1["per_video"]["count"], found["clips"], found["frames"]) == (12, 3, 3, 12)
    assert l1["interval"][0] <= l1["value"] <= l1["interval"][1]
    assert found["results"]["copy"]["ssim"]["value"] < 1
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"]


def test_weights_and_baseline_share_a_table(clips: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--batch", "2"]
    found = run(capsys, *arguments, "--json")
    assert list(found["results"]) == ["copy", "tiny"]
    assert found["size"] == [SIDE, SIDE]
    assert len(found["methods"][1]["sha256"]) == 64
    assert found["paper"] is None
    again = run(capsys, *arguments[:-1], "5", "--json")["results"]["tiny"]["l1"]["value"]
    assert again == pytest.approx(found["results"]["tiny"]["l1"]["value"], abs=1e-6), "whatever the batch"
    shown = run(capsys, *arguments, "--paper", "vox")
    assert "0.043" in shown
    assert "tiny" in shown


def test_report_is_written_and_resumed(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    arguments = ["eval", "reconstruction", "--data", clips, "--baseline", "copy", "-w", tiny, "--out", out, "--json"]
    first = run(capsys, *arguments)
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3, "best, median and worst"
    assert "anna#1" in page
    assert json.loads((out / "results.json").read_text()) == first
    stored = sorted((out / "clips").glob("*/*.json"))
    assert len(stored) == 3
    stored[0].unlink()
    stored[1].write_text("{")
    measured: list[str] = []
    real = measure

    def counting(ref: Any, *rest: Any) -> Record:
        measured.append(ref.name)
        return real(ref, *rest)

    monkeypatch.setattr("fomm_cli.evaluate.reconstruction.measure", counting)
    assert run(capsys, *arguments) == first
    assert len(measured) == 2, "the lost record and the broken one"
    error = run(capsys, *arguments, "--seed", "1", code=1)
    assert "something else" in error
    assert "--force" in error
    run(capsys, *arguments, "--seed", "1", "--force")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("all of it")
    assert "other things" in run(capsys, *arguments[:-2], tmp_path / "other", "--json", code=1)


def test_a_changed_clip_is_measured_again(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(clips, data)
    arguments = ["eval", "reconstruction", "--data", data, "--baseline", "copy", "--out", tmp_path / "r", "--json"]
    before = run(capsys, *arguments)
    Image.fromarray(strip(9, 5)).save(data / "test" / "anna#1.png")
    after = run(capsys, *arguments)
    assert before["data_sha256"] != after["data_sha256"]
    assert before["results"]["copy"]["l1"]["value"] != after["results"]["copy"]["l1"]["value"]


def test_two_processes_give_the_same_to_the_last_digit(
    clips: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", "reconstruction", "--data", str(clips), "--baseline", "copy", "-w", str(tiny), "--json"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together = subprocess.run([*launcher, "-m", "fomm_cli", *arguments], capture_output=True, text=True)
    assert together.returncode == 0, together.stderr
    assert json.loads(together.stdout) == run(capsys, *arguments)


def test_ranks_share_everything_once() -> None:
    items = list("abcdefg")
    shares = [Ranks(rank, 3).share(items) for rank in range(3)]
    assert sorted(pair for share in shares for pair in share) == list(enumerate(items))


class Shifted:
    """The driving frame, three pixels to the right and down."""

    name, size = "shifted", None

    def start(self, source: torch.Tensor, initial: torch.Tensor, mode: str, adapt_scale: bool = True) -> Any:
        return lambda driving: Take(driving.roll((3, 3), (2, 3)), None)


class Blob:
    """Finds the bright square; its corners are the points."""

    name, digest = "blob", None

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        where = np.argwhere(frame.min(2) == 255)
        return None if len(where) < 64 else np.stack([where.min(0), where.max(0)])[:, ::-1].astype(float)

    def embedding(self, frame: np.ndarray) -> np.ndarray:
        return frame.mean((0, 1))


def test_a_clip_moved_by_three_pixels(clips: Path) -> None:
    ref = find_clip(clips / "test" / "anna#1.png")
    assert ref is not None
    blob = Blob()
    record = measure(
        ref, "", [Copy(), Shifted()], Measures(("l1",)), Observers(blob, blob), None, 2, torch.device("cpu")
    )
    shifted = record.tallies["shifted"]
    assert shifted.mean("akd") == pytest.approx(3 * 256 / SIDE)
    assert shifted.mean("mkr") == 0
    assert shifted.mean("aed") == pytest.approx(0, abs=1e-9), "rolling moves colours about and loses none"
    assert record.tallies["copy"].mean("akd") != shifted.mean("akd")


def test_bad_input(clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["eval", "reconstruction", "--data"]
    copy = ["--baseline", "copy"]
    assert "does not exist" in run(capsys, *base, tmp_path / "none", *copy, code=1)
    (tmp_path / "empty" / "test").mkdir(parents=True)
    (tmp_path / "empty" / "train").mkdir()
    assert "No clips" in run(capsys, *base, tmp_path / "empty", *copy, code=1)
    assert "Nothing to evaluate" in run(capsys, *base, clips, code=1)
    assert "'copi'" in run(capsys, *base, clips, "--baseline", "copi", code=1)
    assert "does not exist" in run(capsys, *base, clips, "-w", tmp_path / "none.safetensors", code=1)
    assert "no metric 'fvd'" in run(capsys, *base, clips, *copy, "--metrics", "fvd", code=1)
    assert "NAME=FILE" in run(capsys, *base, clips, *copy, "--metrics", "akd", "--network", "x", code=1)
    assert "no rows for" in run(capsys, *base, clips, *copy, "--paper", "mgif", code=1)
    assert "does not exist" in run(capsys, *base, clips, *copy, "--metrics", "lpips", "--lpips-weights", "x", code=1)
    assert run(capsys, "eval", "reconstruction", *copy, code=2)


def test_bad_clips_are_skipped_and_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = tmp_path / "data" / "test"
    test.mkdir(parents=True)
    (tmp_path / "data" / "train").mkdir()
    Image.fromarray(strip(0, 4)).save(tmp_path / "data" / "train" / "a.png")
    Image.fromarray(strip(1, 4)).save(test / "good.png")
    Image.fromarray(strip(2, 1)).save(test / "lonely.png")
    (test / "torn.png").write_bytes((test / "good.png").read_bytes()[:900])
    (test / "text.mp4").write_text("no video")
    found = run(capsys, "eval", "reconstruction", "--data", tmp_path / "data", "--baseline", "copy", "--json")
    assert found["clips"] == 1
    reasons = {item["name"]: item["reason"] for item in found["skipped"]}
    assert set(reasons) == {"lonely", "torn", "text"}
    assert "single frame" in reasons["lonely"]
    assert any("3 of 4 clips were skipped" in note for note in found["notes"])
    (test / "good.png").unlink()
    error = run(capsys, "eval", "reconstruction", "--data", tmp_path / "data", "--baseline", "copy", code=1)
    assert "No clip could be evaluated" in error


def test_clips_of_another_size_are_fitted_and_counted(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        folder = tmp_path / part / "wide"
        folder.mkdir(parents=True)
        for index in range(3):
            Image.fromarray(strip(index, 2, 40)).save(folder / f"{index}.png")
    found = run(capsys, "eval", "reconstruction", "--data", tmp_path, "-w", tiny, "--json")
    assert found["size"] == [SIDE, SIDE]
    assert any("1 of 1 clips were cropped and resized" in note for note in found["notes"])
    larger = run(capsys, "eval", "reconstruction", "--data", tmp_path, "-w", tiny, "--size", "64", "--json")
    assert larger["size"] == [64, 64]


def test_weights_of_different_sizes_want_a_size(
    clips: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configs.load("toon-64", [*SMALL[1:], "data.frame_shape=[64,64]"])
    save_weights(tmp_path / "big.safetensors", FirstOrderModel(config.model, (64, 64)), config)
    arguments = ["eval", "reconstruction", "--data", clips, "-w", tiny, "-w", tmp_path / "big.safetensors"]
    assert "--size" in run(capsys, *arguments, code=1)
    assert set(run(capsys, *arguments, "--size", "48", "--json")["results"]) == {"tiny", "big"}


# --- toon


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


# --- real pairs


def test_pairs_from_a_list(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refs = [ref for path in sorted((clips / "test").iterdir()) if (ref := find_clip(path)) is not None]
    table = tmp_path / "pairs.csv"
    table.write_text("distance,source,driving,frame\n0.1,anna#1.png,bob#1,2\n0.2,bob#1,anna#2.png,\n")
    first, second = read(table, refs)
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
    pairs = draw(refs, 10, seed=0)
    assert len(pairs) == 4, "two clips of Anna and one of Bob, either way round"
    assert all(pair.source.identity != pair.driving.identity for pair in pairs)
    assert draw(refs, 2, seed=0) == draw(list(reversed(refs)), 2, seed=0)
    assert len({tuple(draw(refs, 2, seed)) for seed in range(8)}) > 1


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


def test_parts_of_a_set(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["eval", "reconstruction", "--baseline", "copy", "--metrics", "l1", "--json", "--data"]
    assert run(capsys, *base, clips, "--part", "all")["clips"] == 4
    (tmp_path / "lone").mkdir()
    (tmp_path / "lone" / "test").symlink_to(clips / "test")
    assert run(capsys, *base, tmp_path / "lone")["clips"] == 3
    assert "no part 'tset'" in run(capsys, *base, clips, "--part", "tset", code=1)


# --- one clip


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


# --- pieces


def test_best_median_and_worst() -> None:
    ranked = [(f"c{i}", float(i)) for i in range(6)]
    assert [(which, name) for which, name, _ in picked(ranked)] == [("best", "c0"), ("median", "c2"), ("worst", "c5")]
    assert picked(ranked[:1]) == [("best", "c0", 0.0)]
    assert picked([]) == []


def test_error_map_is_black_where_nothing_differs() -> None:
    a = np.zeros((2, 2, 3), np.uint8)
    b = a.copy()
    b[0, 0], b[0, 1] = 255, 20
    heat = error_map(a, b)
    assert heat[0, 0].tolist() == [255, 255, 255]
    assert heat[0, 1, 0] > 0
    assert heat[0, 1, 1:].tolist() == [0, 0]
    assert not heat[1].any()


def test_the_papers_sets_are_known_by_name() -> None:
    assert known_set("vox-png") == "vox"
    assert known_set("Taichi") == "taichi"
    assert known_set("mgif-128") is None
    assert known_set("voxels") is None
    assert all(rows[0].method == "FOMM, paper" for rows in PAPER.values())

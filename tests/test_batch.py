"""Batches: who meets whom, what is done once, what a failure costs, and what a second run finds."""

from __future__ import annotations

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.animate.batch import Wishes, animate_batch
from fomm_cli.animate.overview import overview
from fomm_cli.animate.settings import Settings
from fomm_cli.animate.worklist import gather, product, read_pairs, zipped
from fomm_cli.commands.app import main
from fomm_cli.errors import FommError
from fomm_cli.media.video import probe, read_frames
from fomm_cli.shards import Shard
from tests import processes
from tests.clips import shades, write_clip
from tests.engines import GreyEngine, tiny_config, tiny_model
from tests.test_subject import DiscEngine

NAME = "{source}-{driving}.mp4"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures and three clips, of which one each is broken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    (tmp_path / "clips").mkdir()
    for n, level in enumerate((60, 100, 140)):
        Image.new("RGB", (40, 40), (level,) * 3).save(tmp_path / "faces" / f"f{n}.png")
        write_clip(tmp_path / "clips" / f"c{n}.mp4", shades(5 + n, 32, 32))
    (tmp_path / "faces" / "f1.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "clips" / "c1.mp4").write_bytes(b"not a film at all, whatever its name says")
    return tmp_path


class Opener:
    """Opens engines and counts them."""

    def __init__(self, engine: type[GreyEngine] = GreyEngine) -> None:
        self.engines: list[GreyEngine] = []
        self.make = engine

    def __call__(self, weights: str | None) -> GreyEngine:
        self.engines.append(self.make())
        return self.engines[-1]

    def count(self, what: str) -> int:
        return sum(n for engine in self.engines for call, n in engine.calls if call == what)


def run(opener: Opener, shard: Shard | None = None, items: list[object] | None = None, **wishes: object) -> list[dict]:
    chosen = items or product(gather(["faces"], False), gather(["clips"], True), NAME)
    return animate_batch(chosen, Path("out"), opener, Settings(), Wishes(**wishes), shard)  # type: ignore[arg-type]


def states(outcomes: list[dict]) -> list[str]:
    return [outcome["status"] for outcome in outcomes]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*.mp4"))}


def test_items_are_animated_in_their_weights_own_mode_where_nobody_says(folder: Path) -> None:
    class Absolute(GreyEngine):
        def __init__(self) -> None:
            super().__init__()
            self.usual = self.usual._replace(mode="absolute")

    items = product([folder / "faces" / "f0.png"], [folder / "clips" / "c0.mp4"], NAME)
    for said, anchored in ((Settings(), False), (Settings(mode="relative"), True)):
        outcome = animate_batch(items, Path("out"), Opener(Absolute), said, Wishes(redo=True))[0]
        assert (outcome["anchor"] is not None) == anchored


def test_a_part_of_each_clip(folder: Path) -> None:
    items = product([folder / "faces" / "f0.png"], gather(["clips/c0.mp4", "clips/c2.mp4"], True), NAME)
    outcomes = animate_batch(items, Path("out"), Opener(), Settings(begin=Fraction(2, 25)), Wishes())
    assert [outcome["frames"] for outcome in outcomes] == [3, 5]


def test_the_subject_of_each_source_is_found(folder: Path) -> None:
    items = product(gather(["faces/f0.png", "faces/f2.png"], False), gather(["clips/c0.mp4"], True), NAME)
    settings = Settings(background="#00ff00", matte="motion")
    outcomes = animate_batch(items, folder / "out", Opener(DiscEngine), settings, Wishes())
    assert [outcome["status"] for outcome in outcomes] == ["done", "done"]
    for name in ("f0", "f2"):
        frame = next(iter(read_frames(folder / "out" / f"{name}-c0.mp4"))).astype(int)
        assert np.abs(frame[1, 1] - (0, 255, 0)).max() < 30
        assert np.ptp(frame[17, 13]) < 30, "the subject is as grey as it was"


def test_failures_cost_their_own_results(folder: Path) -> None:
    opener = Opener()
    outcomes = run(opener)
    assert sorted(contents(folder / "out")) == ["f0-c0.mp4", "f0-c2.mp4", "f2-c0.mp4", "f2-c2.mp4"]
    assert states(outcomes).count("failed") == 5
    assert all(("f1.png" in o["error"]["what"]) or ("c1.mp4" in o["error"]["what"]) for o in outcomes if "error" in o)
    assert len(opener.engines) == 1
    assert opener.count("encode") == 2, "a source once"
    assert opener.count("detect") == 5 + 7 + 2, "a clip once, whatever the number of sources"
    assert [outcome["index"] for outcome in outcomes] == list(range(9))
    lines = [json.loads(line) for line in (folder / "out" / "batch.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines].count("done") == 4
    assert [line["status"] for line in lines].count("failed") == 5


def test_a_second_run_does_what_is_left(folder: Path) -> None:
    run(Opener())
    before = contents(folder / "out")
    opener = Opener()
    assert set(states(run(opener))) == {"skipped"}
    assert opener.engines == [], "nothing to do opens nothing"
    (folder / "out" / "f0-c0.mp4").unlink()
    write_clip(folder / "clips" / "c1.mp4", shades(4, 32, 32))
    opener = Opener()
    outcomes = run(opener)
    assert states(outcomes) == ["done", "done", "skipped", "skipped", "failed", "skipped", "skipped", "done", "skipped"]
    assert all(contents(folder / "out")[name] == data for name, data in before.items()), "same bytes"
    assert states(run(Opener(), retry=True)).count("failed") == 3
    assert states(run(Opener(), redo=True)).count("done") == 6


def test_other_settings_are_other_results_and_strangers_are_left_alone(folder: Path) -> None:
    items = product([folder / "faces" / "f0.png"], [folder / "clips" / "c0.mp4"], NAME)
    (folder / "out").mkdir()
    (folder / "out" / "f0-c0.mp4").write_text("precious")
    for _ in range(2):
        outcome = run(Opener(), items=items, retry=True)[0]  # type: ignore[arg-type]
        assert (outcome["status"], "not this batch's" in outcome["error"]["what"]) == ("failed", True)
        assert (folder / "out" / "f0-c0.mp4").read_text() == "precious"
    assert states(run(Opener(), items=items, retry=True, force=True)) == ["done"]  # type: ignore[arg-type]
    other = animate_batch(items, Path("out"), Opener(), Settings(mode="absolute"), Wishes())
    assert states(other) == ["done"]


def test_an_error_of_the_device_costs_one_result_and_a_new_engine(folder: Path) -> None:
    class Failing(GreyEngine):
        def render(self, *given: object) -> np.ndarray:
            if len(opener.engines) == 1:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return super().render(*given)  # type: ignore[arg-type]

    opener = Opener(Failing)
    outcomes = run(opener)
    assert states(outcomes).count("done") == 3
    assert len(opener.engines) == 2
    assert any("illegal memory" in outcome.get("error", {}).get("what", "") for outcome in outcomes)


def test_shares_together_are_the_whole(folder: Path) -> None:
    whole = animate_batch(product(gather(["faces"], False), gather(["clips"], True), NAME), Path("all"), Opener(),
                          Settings(), Wishes())  # fmt: skip
    parts = [run(Opener(), Shard(index, 2)) for index in (1, 2)]
    assert sorted(outcome["index"] for part in parts for outcome in part) == list(range(9))
    assert contents(folder / "out") == contents(folder / "all")
    assert {path.name for path in (folder / "out").glob("*.jsonl")} == {"batch-1-of-2.jsonl", "batch-2-of-2.jsonl"}
    assert set(states(run(Opener()))) == {"skipped"}, "one run later knows what the shares did"
    assert len(whole) == 9


def test_a_small_cache_computes_again_and_gives_the_same(folder: Path) -> None:
    small, large = Opener(), Opener()
    run(large)
    before = contents(folder / "out")
    run(small, redo=True, cache=0)
    assert contents(folder / "out") == before
    assert small.count("encode") > large.count("encode")


def test_the_journal_survives_what_a_kill_leaves(folder: Path) -> None:
    items = product([folder / "faces" / "f0.png"], [folder / "clips" / "c0.mp4", folder / "clips" / "c2.mp4"], NAME)
    run(Opener(), items=items)  # type: ignore[arg-type]
    journal = folder / "out" / "batch.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    journal.write_text("".join(lines[:3]) + lines[3][:20])  # killed before the line was whole, but its result is
    opener = Opener()
    assert states(run(opener, items=items)) == ["skipped", "skipped"]  # type: ignore[arg-type]
    assert opener.engines == []
    (folder / "out" / "f0-c2.mp4").unlink()
    journal.write_text("".join(lines[:3]))  # killed before the result was whole
    assert states(run(Opener(), items=items)) == ["skipped", "done"]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ pairs


def test_names_and_orders(folder: Path) -> None:
    sources = gather(["faces/*.png"], False)
    assert [path.name for path in sources] == ["f0.png", "f1.png", "f2.png"]
    clips = gather(["clips/c2.mp4", "clips"], True)
    assert [path.name for path in clips] == ["c2.mp4", "c0.mp4", "c1.mp4"]
    assert gather(["faces"], True) == [Path("faces")], "a folder of pictures is a clip"
    assert [item.output for item in zipped(sources, clips, "{index}-{driving}.gif")] == [
        "0-c2.gif",
        "1-c0.gif",
        "2-c1.gif",
    ]
    for wrong in (NAME.replace("{source}", "x"), "{surce}.mp4", "../{source}-{driving}.mp4", "{source.parent}"):
        with pytest.raises(FommError):
            product(sources, clips, wrong)
    with pytest.raises(FommError, match="as many"):
        zipped(sources, clips[:2], NAME)
    with pytest.raises(FommError, match="no file"):
        gather(["nobody/*.png"], False)


def test_lists_of_pairs(folder: Path) -> None:
    rows = ["distance,source,driving,frame", *(f"0.{n},s{n}.mp4,d{n}.mp4,{n}" for n in range(50))]
    (folder / "taichi256.csv").write_text("\n".join(rows) + "\n")
    items, notes = read_pairs(folder / "taichi256.csv", Path("test"), NAME)
    assert len(items) == 50
    assert items[7].source == Path("test/s7.mp4")
    assert "distance, frame" in notes[0]
    (folder / "own.csv").write_text(
        "source,driving,output,anchor,mode\nfaces/f0.png,clips/c0.mp4,a.mp4,first,\nclips/c2.mp4,clips/c0.mp4,,2,absolute\n"
        "nobody.png,clips/c0.mp4,,,\n"
    )
    items, notes = read_pairs(folder / "own.csv", None, NAME)
    assert notes == []
    assert [item.own for item in items] == [{"anchor": "first"}, {"anchor": "2", "mode": "absolute"}, {}]
    outcomes = run(Opener(), items=items)  # type: ignore[arg-type]
    assert states(outcomes) == ["done", "done", "failed"]
    assert outcomes[0]["anchor"] == 0
    assert "nobody.png does not exist" in outcomes[2]["error"]["what"]
    assert (folder / "out" / "c2-c0.mp4").is_file(), "a video stands for its first frame"
    for text in ("a,b\n1,2\n", "source,driving\nx,\n", "source,driving,output\nx,y,../z.mp4\n", ""):
        (folder / "bad.csv").write_text(text)
        with pytest.raises(FommError):
            read_pairs(folder / "bad.csv", None, NAME)


# ---------------------------------------------------------------------------------------------------------- the verb


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fomm_cli.weights.file import save_weights

    return save_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", tiny_model(), tiny_config())


def test_the_verb(folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", "--sources", "faces", "--drivings", "clips", "-o", "out", "--weights", str(weights)]
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 9
    assert said.err.count("Engine: ") == 1
    assert "9 results: 4 done, 5 failed" in said.err
    assert main(["animate", "faces/f0.png", "clips/c2.mp4", "-o", "one.mp4", "--weights", str(weights)]) == 0
    ours, theirs = (list(read_frames(path)) for path in (Path("out/f0-c2.mp4"), Path("one.mp4")))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    capsys.readouterr()
    assert main([*command, "--json"]) == 1
    assert {entry["status"] for entry in json.loads(capsys.readouterr().out)} == {"skipped"}
    assert main([*command, "--name", "{source}.mp4"]) == 2
    assert "Tell them apart" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert main(["batch", "--sources", "faces", "-o", "out"]) == 2
    assert main([*command, "--cache", "lots"]) == 2
    assert main([*command, "--name", "{source}-{driving}.wmv"]) == 2


def test_several_processes(folder: Path, weights: Path) -> None:
    command = ["batch", "--sources", "faces", "--drivings", "clips", "-o", "out", "--weights", str(weights)]
    done = processes.run(*command, "--device", "cpu", "--gpus", "2", "--json")
    assert done.returncode == 1, done.said
    outcomes = json.loads(done.printed)
    assert [outcome["index"] for outcome in outcomes] == list(range(9))
    assert states(outcomes).count("done") == 4
    assert len(list((folder / "out").glob("batch-*-of-2.jsonl"))) == 2


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_kill_nine_loses_nothing_and_repeats_nothing(folder: Path, weights: Path) -> None:
    for n in range(3):
        Image.new("RGB", (40, 40), (50 + n,) * 3).save(folder / "faces" / f"f{n}.png")
        write_clip(folder / "clips" / f"c{n}.mp4", shades(60, 32, 32))
    command = ["batch", "--sources", "faces", "--drivings", "clips", "--weights", str(weights), "--device", "cpu"]
    assert main([*command, "-o", "whole"]) == 0
    process = processes.Command(*command, "-o", "out")
    until = time.monotonic() + 60
    while len(contents(folder / "out")) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = {name: (folder / "out" / name).stat().st_mtime_ns for name in contents(folder / "out")}
    assert 2 <= len(done) < 9
    assert main([*command, "-o", "out"]) == 0
    assert contents(folder / "out") == contents(folder / "whole")
    assert not list((folder / "out").glob(".*")), "what the killed one left is taken over"
    assert all((folder / "out" / name).stat().st_mtime_ns == then for name, then in done.items())
    assert probe(folder / "out" / "f0-c0.mp4").frames == 60


def test_a_batch_at_a_glance(folder: Path) -> None:
    outcomes = run(Opener())
    picture = overview(outcomes, folder / "out", moments=2, side=20)
    assert picture.shape == (3 * 24 + 4, 5 * 24 + 4, 3)  # what cannot be read has no row and no column
    again = overview([{**each, "frames": None} for each in run(Opener())], folder / "out", moments=2, side=20)
    assert np.array_equal(again, picture)
    with pytest.raises(FommError, match="Nothing of the batch"):
        overview([each for each in outcomes if "error" in each], folder / "out")

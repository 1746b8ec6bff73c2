"""A run that is stopped, killed or cut short goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from fomm_cli.commands.app import main
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.train import checkpoint
from fomm_cli.train.review import state
from fomm_cli.train.run import Run, find
from fomm_cli.train.state import State
from tests import processes
from tests.processes import Command
from tests.training import TREE, tiny_clips, tiny_config

STEPS = 40
MEASURED = ("step_time", "data_time", "pairs_per_second", "memory_gib")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips, a config of 8 epochs of 5 steps, and an uninterrupted run in `whole`."""
    place = tmp_path_factory.mktemp("resume")
    tiny_clips(place / "data")
    (place / "tiny.yaml").write_text(yaml.safe_dump(TREE | {"train": TREE["train"] | {"num_epochs": 8}}))
    assert main(command(place, "whole")) == 0
    return place


def command(place: Path, runs: str, *more: str) -> list[str]:
    words = ["train", str(place / "tiny.yaml"), "--data", str(place / "data"), "--runs", str(place / runs)]
    return [*words, "--workers", "0", "--log-every", "3", "--device", "cpu", *more]


def metrics(run: Path) -> list[dict[str, object]]:
    """What was computed at each step, without what was measured."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]


def assert_same(run: Path, whole: Path) -> None:
    found = metrics(run)
    assert [line["step"] for line in found] == list(range(1, STEPS + 1))
    assert found == metrics(whole)
    assert (run / "validation.jsonl").read_text() == (whole / "validation.jsonl").read_text()
    ours, theirs = (checkpoint.read(one / "checkpoints" / "last.pt")["state"] for one in (run, whole))
    for part in ("model", "average", "discriminator"):
        assert all(torch.equal(ours[part][name], theirs[part][name]) for name in theirs[part]), part
    assert not list((run / "checkpoints").glob(".*"))


def killed(arguments: list[str], when: Callable[[], bool]) -> None:
    """Run the command in a process of its own and kill it without warning as soon as `when` says so."""
    process = Command(*arguments)
    while process.poll() is None and not when():
        time.sleep(0.005)
    process.kill()
    process.wait()


def test_killed_again_and_again_a_run_gives_the_same_numbers(place: Path) -> None:
    folder = place / "killed" / "00001-tiny"
    log, saves = folder / "metrics.jsonl", folder / "checkpoints"
    begin = command(place, "killed", "--checkpoint-steps", "1", "--checkpoint-minutes", "0")
    go_on = ["resume", str(folder)]
    moments = [0.3, 0.0, 0.1]

    def lines() -> int:
        return log.read_text().count("\n") if log.is_file() else 0

    def saving() -> bool:
        return any(item.name.startswith(".") for item in os.scandir(saves)) if saves.is_dir() else False

    killed(begin, lambda: lines() >= 5)
    caught_saving = 0
    for number, wait in enumerate(moments):
        start, began = lines(), time.monotonic()
        if number % 2:  # while the next checkpoint is being written
            for old in saves.glob(".*"):
                old.unlink()
            killed(go_on, lambda: lines() > 0 and saving())
            caught_saving += saving()
        else:  # somewhere in the computation after a few more lines
            killed(
                go_on,
                lambda start=start, began=began, wait=wait: lines() >= start + 2 and time.monotonic() > began + wait,
            )
    assert caught_saving > 0
    assert 0 < lines() < STEPS
    assert main(go_on) == 0
    assert_same(folder, place / "whole" / "00001-tiny")


def test_a_run_has_one_process_at_a_time(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place / "twice" / "00001-tiny"
    log = folder / "metrics.jsonl"
    process = Command(*command(place, "twice", "--set", "train.num_epochs=100000", "--workers", "1"))
    try:
        while process.poll() is None and not log.is_file():
            time.sleep(0.01)
        assert state(Run(folder)) == "training"
        assert main(["resume", str(folder)]) == 1
        assert "trained by another process" in capsys.readouterr().err
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert state(Run(folder)) == "stopped"
    assert main(["resume", str(folder), "--steps", "1"]) == 0  # at once, whatever its reading process still does


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_saves_first(place: Path, number: signal.Signals, code: int) -> None:
    runs = f"told{code}"
    arguments = command(place, runs, "--checkpoint-minutes", "100", "--log-every", "1", "--set", "train.num_epochs=500")
    run = place / runs / "00001-tiny"
    process = Command(*arguments)
    while process.poll() is None and (not (run / "metrics.jsonl").is_file() or len(metrics(run)) < 3):
        time.sleep(0.02)
    process.send_signal(number)
    ended, errors = process.wait(), process.said
    assert ended == code, errors
    assert "Traceback" not in errors
    assert "fomm resume" in errors
    assert checkpoint.read(run / "checkpoints" / "last.pt")["state"]["step"] == metrics(run)[-1]["step"]


def test_stopped_after_some_steps_it_goes_on(place: Path) -> None:
    assert main(command(place, "steps", "--steps", "7")) == 0  # in the middle of an epoch
    assert main(["resume", "last", "--runs", str(place / "steps"), "--steps", "10"]) == 0  # at the end of one
    assert main(["resume", "1", "--runs", str(place / "steps")]) == 0
    assert_same(place / "steps" / "00001-tiny", place / "whole" / "00001-tiny")


def test_killed_before_its_first_checkpoint_it_begins_again(place: Path) -> None:
    folder = place / "early" / "00001-tiny"
    killed(command(place, "early"), lambda: (folder / "environment.json").is_file())
    (folder / "checkpoints" / "last.pt").unlink(missing_ok=True)
    assert main(["resume", str(folder)]) == 0
    assert_same(folder, place / "whole" / "00001-tiny")


def test_a_changed_config_is_refused_by_key(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(place, "changed", "--steps", "2")) == 0
    run = find(place / "changed", "last")
    text = run.config.read_text().replace("equivariance_value: 10.0", "equivariance_value: 11.0")
    run.config.write_text(text.replace("lr_generator: 0.0002", "lr_generator: 0.001"))
    assert main(["resume", str(run.folder)]) == 1
    errors = capsys.readouterr().err
    assert "train.loss.equivariance_value" in errors
    assert "train.lr_generator" in errors
    assert "model.num_kp" not in errors


def test_a_broken_checkpoint_and_an_unknown_run_are_explained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(place, "broken", "--steps", "2")) == 0
    run = find(place / "broken", "last")
    run.last.write_bytes(run.last.read_bytes()[:1000])
    assert main(["resume", str(run.folder)]) == 1
    assert "not a readable checkpoint" in capsys.readouterr().err
    assert main(["resume", "7", "--runs", str(place / "broken")]) == 1
    assert "no run 7" in capsys.readouterr().err


def test_a_full_disk_leaves_the_last_checkpoint(place: Path) -> None:
    """In a process of its own, whose files may not grow to the size of a checkpoint."""
    assert main(command(place, "full", "--steps", "3")) == 0
    run = find(place / "full", "last")
    before = run.last.read_bytes()
    cramped = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    cramped += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2}, resource.RLIM_INFINITY))"
    process = processes.run("resume", run.folder, "--steps", "5", first=cramped)
    errors = process.said
    assert process.returncode == 1, errors
    assert "no space" in errors
    assert "Traceback" not in errors
    assert run.last.read_bytes() == before
    assert main(["resume", str(run.folder)]) == 0
    assert_same(run.folder, place / "whole" / "00001-tiny")


def test_a_failure_to_save_that_is_no_full_disk_is_not_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a tensor without storage")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="without storage"):
        checkpoint.save(State(tiny_config(), torch.device("cpu"), None), tmp_path / "last.pt")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_without_a_newer_key_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(tiny_config(), torch.device("cpu"), None)
    tree = state.config.model_dump(mode="json")
    del tree["train"]["balance"]
    with monkeypatch.context() as then:
        then.setattr(Config, "to_yaml", lambda self: yaml.safe_dump(tree))
        checkpoint.save(state, tmp_path / "last.pt")
    checkpoint.load(state, tmp_path / "last.pt")


def test_the_random_generators_are_part_of_a_checkpoint() -> None:
    import random

    import numpy as np

    saved = checkpoint.random_state()
    first = (random.random(), np.random.rand(), torch.rand(1).item())
    checkpoint.set_random_state(saved)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == first


def test_differences_name_nested_keys() -> None:
    one, other = tiny_config().model_dump(), tiny_config(batch_size=8).model_dump()
    assert checkpoint.differences(one, other) == ["train.batch_size"]
    assert checkpoint.differences({"a": {"b": 1}}, {"a": {"c": 1}}) == ["a.b", "a.c"]


def test_no_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="no checkpoint"):
        checkpoint.read(Run(tmp_path).last)

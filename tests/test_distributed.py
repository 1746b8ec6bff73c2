"""Several processes see what one would see."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from fomm_cli.commands.app import main
from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from fomm_cli.data.pairs import PairSampler
from fomm_cli.errors import FommError
from fomm_cli.model.thin_plate.config import ThinPlateTrain
from fomm_cli.model.training import Progress
from fomm_cli.processes import World, from_environment, joined
from fomm_cli.train.distributed import launch
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import draw_transform, draw_uniform
from tests import processes
from tests.test_thin_plate import TREE
from tests.training import tiny_clips, tiny_config, tiny_file

STEPS, BATCH = 5, 8
CPU = torch.device("cpu")


KINDS = ["first_order", "thin_plate", "second_stage"]


def config_of(kind: str) -> Config:
    if kind == "first_order":
        return tiny_config(batch_size=BATCH)
    config = build(TREE | {"train": TREE["train"] | {"batch_size": BATCH}})
    if kind == "second_stage":
        assert isinstance(config.train, ThinPlateTrain)
        return config.model_copy(update={"train": config.train.avd.model_copy(update={"batch_size": BATCH})})
    return config


def part_of(state: State, rank: int, size: int) -> Part:
    """This process's slice of the next step's batch and of its random draws; an epoch is a step."""
    generator = torch.Generator().manual_seed(state.step)
    shape = (BATCH, 3, *state.config.data.frame_shape)
    source, driving = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    drawn = BATCH, source, 0, state.step
    transform = draw_transform(state.config.train.transform, *drawn, euclidean=state.recipe.euclidean)
    uniform = draw_uniform(state.recipe.uniforms(state.config.model), *drawn)
    mine = slice(rank * BATCH // size, (rank + 1) * BATCH // size)
    state.epoch = state.step
    return Part(source[mine], driving[mine], transform.rows(mine), Progress(0, state.step, state.epoch), uniform[mine])


def losses(kind: str, world: World) -> tuple[list[list[float]], dict[str, list[float]]]:
    """Values of each step, and the weights and statistics after the last."""
    torch.manual_seed(0)
    state = State(config_of(kind), CPU, None, world, dtype=torch.float64)
    values = [state.update([part_of(state, world.rank, world.size)]).tolist() for _ in range(STEPS)]
    final = {
        name: value.flatten().tolist()
        for name, value in state.model.state_dict().items()
        if "num_batches_tracked" not in name
    }
    return values, final


def process(rank: int, size: int, port: int, answers: Queue) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(size), RANK=str(rank))
    world = from_environment()
    with joined(world, CPU):
        answers.put((rank, {kind: losses(kind, world) for kind in KINDS}))


@pytest.fixture(scope="module")
def both() -> dict[int, dict[str, Any]]:
    """The losses of every kind, by rank, of two processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The suite's own process has threads of every library by now, with which a fork may not survive.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once for both
    answers = context.Queue()
    processes = [context.Process(target=process, args=(rank, 2, port, answers)) for rank in range(2)]
    for each in processes:
        each.start()
    found = dict(answers.get(timeout=240) for _ in processes)
    for each in processes:
        each.join(timeout=60)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_losses_of_one(both: dict[int, dict[str, Any]], kind: str) -> None:
    """In thin plate the background's network begins in the third step."""
    found = {rank: kinds[kind] for rank, kinds in both.items()}
    values, final = losses(kind, World())
    assert found[0] == found[1]
    for step, (ours, alone) in enumerate(zip(found[0][0], values, strict=True)):
        assert ours == pytest.approx(alone, rel=1e-8, abs=1e-10), step
    for name, numbers in final.items():
        # Biases before a batch norm have gradients of rounding errors, which Adam magnifies: running means follow.
        if "running_var" in name:
            assert found[0][1][name] == pytest.approx(numbers, rel=1e-8, abs=1e-10), name


def test_half_batches_alone_would_differ() -> None:
    """What the test above would miss if it could not fail: without the other half the losses are other ones."""
    torch.manual_seed(0)
    state = State(tiny_config(batch_size=BATCH), CPU, None, dtype=torch.float64)
    half = state.update([part_of(state, 0, 2)]).tolist()
    assert abs(half[0] / losses("first_order", World())[0][0][0] - 1) > 1e-4


def test_samplers_share_each_batch() -> None:
    alone = list(PairSampler(20, 8, seed=3))
    first, second = (list(PairSampler(20, 8, seed=3, rank=rank, world=2)) for rank in range(2))
    assert [one + other for one, other in zip(first, second, strict=True)] == alone


def test_the_command_launches_processes_that_train_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_clips(tmp_path / "data")
    arguments = ["train", str(tiny_file(tmp_path / "tiny.yaml")), "--data", str(tmp_path / "data"), "--device", "cpu"]
    arguments += ["--workers", "0", "--steps", "6", "--log-every", "1"]
    alone, together = [*arguments, "--runs", str(tmp_path / "alone")], [*arguments, "--runs", str(tmp_path / "two")]
    assert main(alone) == 0
    together += ["--gpus", "2"]
    monkeypatch.setattr("sys.argv", ["fomm", *together])
    assert main(together) == 0
    runs = list((tmp_path / "two").iterdir())
    assert [run.name for run in runs] == ["00001-tiny"]
    ours, theirs = (
        [json.loads(line) for line in (root / "00001-tiny" / "metrics.jsonl").read_text().splitlines()]
        for root in (tmp_path / "two", tmp_path / "alone")
    )
    assert [line["step"] for line in ours] == [1, 2, 3, 4, 5, 6]
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-4)
    assert ours[5]["loss"] == pytest.approx(theirs[5]["loss"], rel=0.2)  # float32 rounding grows step by step
    assert main(["resume", str(runs[0]), "--steps", "8"]) == 0


def test_a_failing_process_fails_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_clips(tmp_path / "data")
    arguments = ["train", str(tiny_file(tmp_path / "tiny.yaml")), "--data", str(tmp_path / "data"), "--device", "cpu"]
    arguments += ["--set", "train.batch_size=3", "--workers", "0", "--gpus", "2", "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["fomm", *arguments])
    assert main(arguments) == 1


@pytest.mark.parametrize("others", [{}, {0: 143}, {0: 1}])
def test_a_killed_process_is_said_whatever_the_others_end_with(
    others: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """143 would mean: saved and stopped."""
    ends = [(rank, ProcessFailure(rank, 1, code, "")) for rank, code in (others | {1: -signal.SIGKILL}).items()]
    ended = ChildFailedError("fomm", dict(ends))
    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", lambda *_: raising(ended))
    with pytest.raises(FommError, match=r"Process 1 of the training was killed \(SIGKILL\)"):
        launch(2, [])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)])
def test_a_launcher_that_is_told_to_stop_ends_as_its_processes_do(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SignalException("told", number)
    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", lambda *_: raising(told))
    assert launch(2, []) == code


def raising(error: Exception) -> Callable[..., None]:
    def run(*_: object) -> None:
        raise error

    return run


def test_what_the_first_process_refuses_ends_all(tmp_path: Path) -> None:
    """Two real processes: the first alone says why, the other does not wait for it."""
    code = (
        "import sys, torch; from fomm_cli.errors import FommError; from fomm_cli.processes import *\n"
        "def refuse(): raise FommError('not so')\n"
        "world = from_environment()\n"
        "with joined(world, torch.device('cpu')):\n"
        "    assert by_first(lambda: 'yes', world) == 'yes'\n"
        "    by_first(refuse, world)\n"
    )
    both = processes.together("--version", first=code)
    assert [one.wait(120) for one in both] == [1, 1]
    assert "not so" in both[0].said
    assert both[1].said == ""

"""Several processes see what one would see."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
import torch

from fomm_cli.commands.app import main
from fomm_cli.data.pairs import PairSampler
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.processes import World, from_environment, joined
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import draw_transform
from tests.training import tiny_clips, tiny_config, tiny_file

STEPS, BATCH, SIDE = 5, 8, 16
CPU = torch.device("cpu")


def part_of(step: int, rank: int, size: int) -> Part:
    """This process's slice of the step's batch and of its random draws."""
    generator = torch.Generator().manual_seed(step)
    source, driving = (torch.rand(BATCH, 3, SIDE, SIDE, generator=generator, dtype=torch.float64) for _ in range(2))
    whole = draw_transform(tiny_config().train.transform, BATCH, source, 0, step)
    assert whole.weights is not None
    mine = slice(rank * BATCH // size, (rank + 1) * BATCH // size)
    return Part(source[mine], driving[mine], SmoothTransform(whole.theta[mine], whole.weights[mine]))


def losses(world: World) -> tuple[list[list[float]], dict[str, list[float]]]:
    """Values of each step, and the weights and statistics after the last."""
    torch.manual_seed(0)
    state = State(tiny_config(batch_size=BATCH), CPU, None, world, dtype=torch.float64)
    values = [state.update([part_of(step, world.rank, world.size)]).tolist() for step in range(STEPS)]
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
        answers.put((rank, *losses(world)))


def test_two_processes_give_the_losses_of_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=process, args=(rank, 2, port, answers)) for rank in range(2)]
    for one in processes:
        one.start()
    found = {rank: (values, final) for rank, values, final in (answers.get(timeout=120) for _ in processes)}
    for one in processes:
        one.join()
    values, final = losses(World())
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
    half = state.update([part_of(0, 0, 2)]).tolist()
    assert abs(half[0] / losses(World())[0][0][0] - 1) > 1e-4


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

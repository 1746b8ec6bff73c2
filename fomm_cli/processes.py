"""Several processes as one: who this is of how many, and what they exchange."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fomm_cli.errors import FommError

T = TypeVar("T")


class World(NamedTuple):
    """Which process this is, of how many.

    rank     of this process, 0 to size - 1; rank 0 writes the run's files
    size     number of processes
    local    rank on this machine: the number of its GPU
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Which of `count` items are this process's: every size-th, so that long clips side by side part."""
        return range(self.rank, count, self.size)


def from_environment() -> World:
    """What torchrun says in this process's environment; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        return World()
    return World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def joined(world: World, device: torch.device, wait: timedelta = timedelta(hours=2)) -> Iterator[None]:
    """Talk to the other processes: NCCL between GPUs, gloo between processors.

    wait  how long for the slowest of them; in a training the others wait while the first one validates
    """
    if world.size == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        rank=world.rank,
        world_size=world.size,
        timeout=wait,
    )
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _PARTED):
            raise
        raise FommError(
            "Another of the processes that work together has ended.",
            "What it said stands above, unless it was killed; what was saved remains.",
        ) from error
    finally:
        gc.collect()  # a module in a cycle would keep gloo's threads beyond Python's own end, which aborts the process
        dist.destroy_process_group()


_PARTED = ("by peer", "gloo", "NCCL")
"""What torch says where a process waits for one that is gone."""


def own_device(device: torch.device, world: World) -> torch.device:
    """This process's device: its own GPU, or the processor that all share."""
    if world.size > 1 and device.type == "cuda":
        if world.local >= torch.cuda.device_count():
            raise FommError(
                f"Process {world.local} of this machine has no GPU: torch sees {torch.cuda.device_count()}.",
                "Start as many processes as there are GPUs.",
            )
        return torch.device("cuda", world.local)
    return device


def average(values: Tensor, world: World) -> Tensor:
    """The mean over all processes; every one gets it."""
    if world.size == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / world.size


def any_of(flag: bool, world: World, device: torch.device) -> bool:
    """Whether any process says yes; every one gets the same answer."""
    if world.size == 1:
        return flag
    answer = torch.tensor([float(flag)], device=device)
    dist.all_reduce(answer, dist.ReduceOp.MAX)
    return bool(answer.item())


def share(value: str, world: World) -> str:
    """The first process's text, in all of them."""
    if world.size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def by_first(action: Callable[[], str], world: World) -> str:
    """The first process does something, all get its text; where it fails it alone says why, and all end."""
    text, failure = "", None
    if world.first:
        try:
            text = action()
        except FommError as error:
            failure = error
    answer = share("" if failure is not None else f"={text}", world)
    if failure is not None:
        raise failure
    if not answer:
        raise SystemExit(1)
    return answer[1:]


def gather(items: list[T], world: World) -> list[T]:
    """The items of all processes, in order of rank; every one gets them."""
    if world.size == 1:
        return items
    everyone: list[Any] = [None] * world.size
    dist.all_gather_object(everyone, items)
    return [item for one in everyone for item in one]

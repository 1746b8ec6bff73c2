"""One training on several processes, by torch's own engine: who is who, averages over all, synchronised batch norm."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class World(NamedTuple):
    """
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


def from_environment() -> World:
    """What torchrun says in this process's environment; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        return World()
    return World(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))


def average(values: Tensor, world: World) -> Tensor:
    """The mean over all processes; every one gets it."""
    if world.size == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / world.size

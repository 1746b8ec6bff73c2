"""Shares of one piece of work, for several processes or machines that do not talk to each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fomm_cli.errors import FommError


@dataclass(frozen=True)
class Shard:
    """One of `count` equal shares; `index` counts from 1."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def journal(self, name: str) -> str:
        """The file that this share alone writes: `name.jsonl`, `name-2-of-4.jsonl`."""
        return f"{name}.jsonl" if self.count == 1 else f"{name}-{self.index}-of-{self.count}.jsonl"


def parse_shard(text: str) -> Shard:
    """`I/N`, as in 2/4."""
    index, slash, count = text.partition("/")
    if not slash or not index.isascii() or not count.isascii() or not (index.isdigit() and count.isdigit()):
        raise FommError(f"--shard {text!r} is not of the form I/N.", "For the second of four machines: --shard 2/4.")
    if not 1 <= int(index) <= int(count):
        raise FommError(f"--shard {text}: there is no share {index} of {count}.", f"I counts from 1 to {count}.")
    return Shard(int(index), int(count))


def shard_of_environment(environ: Mapping[str, str] = os.environ) -> Shard:
    """This process's share under torchrun (RANK, WORLD_SIZE) or SLURM (SLURM_PROCID, SLURM_NTASKS); else all of it."""
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if environ.get(rank, "").isdigit() and environ.get(world, "").isdigit():
            index, count = int(environ[rank]), int(environ[world])
            if 0 <= index < count:
                return Shard(index + 1, count)
    return Shard()

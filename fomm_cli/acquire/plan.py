"""Which of a table's clips this run is for: partition, subset, and this machine's share of the videos."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fomm_cli.acquire.table import PARTITIONS, Cut
from fomm_cli.errors import FommError


@dataclass(frozen=True)
class Shard:
    """One of `count` equal shares of the videos; `index` counts from 1."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


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


def select(
    cuts: Sequence[Cut], partition: str | None = None, subset: int | None = None, shard: Shard | None = None
) -> list[Cut]:
    """The clips of one partition, then the first `subset` of them, then every N-th video of what is left.

    Videos are dealt out whole, in their order, so that no two shares download the same one.
    """
    if partition is not None:
        if partition not in PARTITIONS:
            raise FommError(f"--partition {partition!r} is neither train nor test.")
        cuts = [cut for cut in cuts if cut.partition == partition]
    if subset is not None:
        cuts = cuts[:subset]
    if shard is not None and shard.count > 1:
        order = {video: place for place, video in enumerate(dict.fromkeys(cut.video for cut in cuts))}
        cuts = [cut for cut in cuts if order[cut.video] % shard.count == shard.index - 1]
    return list(cuts)

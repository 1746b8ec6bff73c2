"""One evaluation on several processes started by torchrun: who does which clips, and everything to the first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")


class Ranks(NamedTuple):
    """This process among `size`; `local` is its number on this machine. Rank 0 reports."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """(place, item) of the items that are this process's: every size-th, so that long clips side by side part."""
        return [(place, items[place]) for place in range(self.rank, len(items), self.size)]

    def device(self, name: str) -> str:
        """`auto` and `cuda` become this process's own GPU where there is one for each."""
        if self.size == 1 or name not in {"auto", "cuda"}:
            return name
        import torch

        from fomm_cli import device as devices

        if devices.resolve(name).type != "cuda":
            return name
        return f"cuda:{self.local % torch.cuda.device_count()}"

    def gather(self, mine: Any) -> list[Any]:
        """What every process brought, in their order; every process gets it."""
        if self.size == 1:
            return [mine]
        import torch.distributed as dist

        everything: list[Any] = [None] * self.size
        dist.all_gather_object(everything, mine)
        return everything


@contextmanager
def join() -> Iterator[Ranks]:
    """The processes that torchrun's environment speaks of; alone without it.

    They only exchange the small records of clips at the end, on the CPU, whatever the device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        yield Ranks()
        return
    from datetime import timedelta

    import torch.distributed as dist

    # A process that is done waits for the slowest one, however long its clips are.
    dist.init_process_group("gloo", timeout=timedelta(days=1))
    try:
        yield Ranks(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()

"""The order of an epoch: a function of seed and epoch alone, entered at any batch, however many processes share it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from fomm_cli.errors import FommError

Key = tuple[int, int]


def generator(*words: int) -> np.random.Generator:
    """Random numbers that depend on these numbers only, never on what was drawn before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([word & 0xFFFFFFFFFFFFFFFF for word in words])))


class PairSampler(Sampler[list[Key]]):
    """A batch sampler: lists of (epoch, index) keys that `PairDataset` understands.

    batch_size   pairs a batch over all processes; the last partial batch is dropped
    rank, world  this process takes the rank-th slice of every batch, so that `world` processes see together
                 exactly the batches that one would see
    start_batch  the first batch to give, of the epoch's `batches`
    """

    def __init__(
        self,
        n_items: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        epoch: int = 0,
        start_batch: int = 0,
    ) -> None:
        if batch_size % world:
            raise FommError(
                f"A batch of {batch_size} cannot be shared by {world} processes.",
                f"Set train.batch_size to a multiple of {world}.",
            )
        if n_items < batch_size:
            raise FommError(
                f"The batch of {batch_size} is larger than the {n_items} items of an epoch.",
                f"Set train.batch_size to at most {n_items}, or raise train.num_repeats.",
            )
        self.n_items, self.batch_size, self.seed = n_items, batch_size, seed
        self.rank, self.world = rank, world
        self.batches = n_items // batch_size
        self.set_epoch(epoch, start_batch)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """What the next iteration gives: that epoch, from that batch on."""
        if not 0 <= start_batch <= self.batches:
            raise ValueError(f"batch {start_batch} of {self.batches}")
        self.epoch, self.start_batch = epoch, start_batch

    def __len__(self) -> int:
        """Batches that the next iteration gives."""
        return self.batches - self.start_batch

    def __iter__(self) -> Iterator[list[Key]]:
        order = generator(self.seed, self.epoch, 0).permutation(self.n_items)
        share = self.batch_size // self.world
        for batch in range(self.start_batch, self.batches):
            start = batch * self.batch_size + self.rank * share
            yield [(self.epoch, int(index)) for index in order[start : start + share]]

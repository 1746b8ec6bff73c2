"""Training pairs: two frames of one clip, the earlier as the source.

Every draw of an item comes from (seed, epoch, index), so that an epoch is the same with any number of workers and can
be entered anywhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from fomm_cli.config.schema import DataConfig
from fomm_cli.data.augment import augment
from fomm_cli.data.clips import Clip, ClipRef
from fomm_cli.errors import FommError
from fomm_cli.media.image import fit

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
        if n_items > LARGEST_EPOCH:
            raise FommError(
                f"An epoch of {n_items:,} pairs is more than the {LARGEST_EPOCH:,} there may be.",
                "Lower train.num_repeats: a training ends by epochs, and each is its own order.",
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


LARGEST_EPOCH = 100_000_000
"""Its order is held in memory, eight bytes a pair."""

ATTEMPTS = 50

OPEN_CLIPS = 1024


class Failure(NamedTuple):
    """A clip that could not be read, and why."""

    clip: str
    reason: str


class Pair(NamedTuple):
    """
    source, driving   uint8 (3, H, W), RGB
    name              clip and frame numbers, for messages
    failures          clips that were drawn first and could not be read
    """

    source: Tensor
    driving: Tensor
    name: str
    failures: tuple[Failure, ...] = ()


class Batch(NamedTuple):
    """
    source, driving   uint8 (B, 3, H, W), RGB; `model.pixels.scaled` makes them what the network takes
    names             of each pair
    failures          of all pairs
    """

    source: Tensor
    driving: Tensor
    names: list[str]
    failures: list[Failure]


def collate(pairs: Sequence[Pair]) -> Batch:
    """A loader's `collate_fn`. Bytes cross to the device; four times as many floats would not be better ones."""
    return Batch(
        torch.stack([pair.source for pair in pairs]),
        torch.stack([pair.driving for pair in pairs]),
        [pair.name for pair in pairs],
        [failure for pair in pairs for failure in pair.failures],
    )


class PairDataset(Dataset[Pair]):
    """Pairs drawn from clips.

    clips    what to draw from
    config   frame_shape, id_sampling, augmentation
    train    false: no identity sampling and no augmentation, as for validation
    repeats  an epoch is every item this many times
    memory   bytes of decoded frames that one process may keep, what it preloaded included: of clips whose frames
             cannot be read singly the latest stay, so that a strip is not decoded anew for every pair

    An item is an identity (with id_sampling) or a clip. A clip that cannot be read is replaced by another one, drawn
    from (seed, epoch, index) too, and told in the pair's `failures`. What `memory` holds never changes a pair.
    """

    def __init__(
        self,
        clips: Sequence[ClipRef],
        config: DataConfig,
        train: bool = True,
        seed: int = 0,
        repeats: int = 1,
        memory: int = 256 * 1024 * 1024,
    ) -> None:
        if not clips:
            raise FommError("There are no clips to draw pairs from.")
        crop = config.augmentation.crop
        if train and crop is not None and tuple(crop) != tuple(config.frame_shape):
            raise FommError(
                f"data.augmentation.crop {list(crop)} differs from data.frame_shape {list(config.frame_shape)}.",
                "Set both to the same size: pairs leave the augmentation at the size of the crop.",
            )
        self.clips, self.config, self.train, self.seed, self.repeats = list(clips), config, train, seed, repeats
        self.items: list[list[int]]
        if train and config.id_sampling:
            people: dict[str, list[int]] = {}
            for number, ref in enumerate(self.clips):
                people.setdefault(ref.identity, []).append(number)
            self.items = list(people.values())
        else:
            self.items = [[number] for number in range(len(self.clips))]
        self.memory = memory
        self._held: dict[int, np.ndarray] = {}
        self._held_bytes = 0
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._kept_bytes = 0
        self._open: OrderedDict[int, Clip] = OrderedDict()

    def __len__(self) -> int:
        """Items of an epoch."""
        return len(self.items) * self.repeats

    def __getitem__(self, key: Key | int) -> Pair:
        """By a sampler's (epoch, index); a bare index means epoch 0."""
        epoch, index = (0, key) if isinstance(key, int) else key
        return self.item(epoch, index)

    def item(self, epoch: int, index: int) -> Pair:
        """The index-th pair of an epoch, the same whenever and wherever it is asked for."""
        failures: list[Failure] = []
        for attempt in range(ATTEMPTS):
            rng = generator(self.seed, epoch, 1, index, attempt)
            members = self.items[index % len(self.items) if attempt == 0 else int(rng.integers(len(self.items)))]
            number = members[int(rng.integers(len(members)))] if len(members) > 1 else members[0]
            ref = self.clips[number]
            try:
                pair, first, second = self.draw(number, rng)
            except FommError as error:
                failures.append(Failure(ref.path.name, error.what))
                self._forget(number)
                continue
            if self.train:
                pair = augment(pair, self.config.augmentation, self.config.frame_shape, rng)
            tensors = torch.from_numpy(np.ascontiguousarray(pair.transpose(0, 3, 1, 2)))
            return Pair(tensors[0], tensors[1], f"{ref.name}:{first}-{second}", tuple(failures))
        raise FommError(
            f"No pair could be read in {ATTEMPTS} tries; the last: {failures[-1].reason}",
            "`fomm dataset check` lists every unreadable clip.",
        )

    def draw(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
        """Two frames of clip `number`, drawn with replacement, the earlier first, not augmented.

        returns  uint8 (2, *frame_shape, 3) and the two frame numbers
        """
        kept = self._memory(number)
        length = len(self._clip(number) if kept is None else kept)
        first, second = sorted(int(drawn) for drawn in rng.integers(length, size=2))
        return self._read(number, first, second), first, second

    def preload(self, limit: int, threads: int = 1) -> int:
        """Decode clips at frame_shape until `limit` bytes are held; returns how many clips fit.

        Call it before a loader starts its workers: forked, they share what is held here. Clips that cannot be read
        are left to `item`, which tells of them.
        """
        height, width = self.config.frame_shape
        lock, spent, full = Lock(), 0, False

        def load(number: int) -> None:
            nonlocal spent, full
            if full:  # opening the rest of a large set to see which clips are small enough would take minutes
                return
            try:
                clip = self.clips[number].open()
            except FommError:
                return
            try:
                cost = len(clip) * height * width * 3
                with lock:
                    if spent + cost > limit:
                        full = True
                        return
                    spent += cost
                self._held[number] = self._decode(clip, range(len(clip)))
            except FommError:
                return
            finally:
                clip.close()

        with ThreadPoolExecutor(max(1, threads)) as pool:
            try:
                list(pool.map(load, range(len(self.clips))))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._held_bytes = spent
        return len(self._held)

    def _read(self, number: int, first: int, second: int) -> np.ndarray:
        """Two frames of a clip: uint8 (2, *frame_shape, 3)."""
        kept = self._memory(number)
        if kept is None:
            clip = self._clip(number)
            height, width = self.config.frame_shape
            if clip.direct or len(clip) * height * width * 3 > self.memory - self._held_bytes:
                return self._decode(clip, [first, second])
            kept = self._decode(clip, range(len(clip)))
            self._keep(number, kept)
        return kept[[first, second]]

    def _memory(self, number: int) -> np.ndarray | None:
        """All frames of a clip, if they are in memory: uint8 (T, *frame_shape, 3)."""
        if number in self._kept:
            self._kept.move_to_end(number)
        return self._held.get(number, self._kept.get(number))

    def _decode(self, clip: Clip, indices: Sequence[int]) -> np.ndarray:
        return np.stack([fit(frame, self.config.frame_shape) for frame in clip.frames(indices)])

    def _keep(self, number: int, frames: np.ndarray) -> None:
        self._kept[number] = frames
        self._kept_bytes += frames.nbytes
        while self._kept_bytes > self.memory - self._held_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes

    def _clip(self, number: int) -> Clip:
        """An opened clip, which is its index only; the least used is forgotten, so that a large set stays in bounds."""
        if number in self._open:
            self._open.move_to_end(number)
        else:
            self._open[number] = self.clips[number].open()
            if len(self._open) > OPEN_CLIPS:
                self._open.popitem(last=False)[1].close()
        return self._open[number]

    def _forget(self, number: int) -> None:
        clip = self._open.pop(number, None)
        if clip is not None:
            clip.close()

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker starts without frames: copying them to each would multiply what was meant to be shared.
        return {
            **self.__dict__,
            "_open": OrderedDict(),
            "_held": {},
            "_held_bytes": 0,
            "_kept": OrderedDict(),
            "_kept_bytes": 0,
        }

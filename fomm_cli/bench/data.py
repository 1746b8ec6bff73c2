"""How fast pairs come: what decoding and augmenting cost, and what a loader with workers delivers."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from fomm_cli.config.schema import Config
from fomm_cli.data.augment import augment
from fomm_cli.data.pairs import PairDataset, PairSampler, collate, generator
from fomm_cli.data.split import find_split
from fomm_cli.device import processors
from fomm_cli.errors import FommError


@dataclass(frozen=True)
class DataBench:
    """What pairs cost.

    read_ms, augment_ms      median and 95th percentile per pair, in one process with one thread
    pairs_per_second         of one process, everything included
    pairs_per_cpu_second     the same by processor time: what a core does when nothing else wants it
    loader_pairs_per_second  of a loader with `workers` processes, its start not counted; None without workers
    frame_shape              (H, W)
    preloaded                clips held in memory before the measurement
    """

    root: str
    layout: str
    clips: int
    kinds: dict[str, int]
    frame_shape: tuple[int, int]
    pairs: int
    preloaded: int
    read_ms: tuple[float, float]
    augment_ms: tuple[float, float]
    pairs_per_second: float
    pairs_per_cpu_second: float
    workers: int
    loader_pairs_per_second: float | None
    processors: int
    failures: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def bench_data(
    root: str | Path,
    config: Config,
    pairs: int = 400,
    workers: int = 0,
    preload: int = 0,
    seed: int = 0,
) -> DataBench:
    """Draw pairs as a training on `root` would, and time it.

    pairs    how many to draw for each number
    workers  processes of the loader that is measured too; 0 measures none
    preload  bytes of decoded frames to hold in memory, decoded before the clock starts
    """
    if pairs < 2:
        raise FommError("At least two pairs are needed for a measurement.")
    split = find_split(root, seed)
    dataset = PairDataset(split.train, config.data, seed=seed, repeats=config.train.num_repeats)
    preloaded = dataset.preload(preload) if preload else 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        order = generator(seed, 0, 2).integers(len(dataset), size=pairs)
        dataset.item(0, int(order[0]))  # the first draw pays for imports and codecs
        read, changed, failures = _stages(dataset, [int(index) for index in order], seed)
        start, spent = time.perf_counter(), time.process_time()
        for index in order:
            dataset.item(1, int(index))
        single, per_cpu = pairs / (time.perf_counter() - start), pairs / (time.process_time() - spent)
        loaded = _loader(dataset, pairs, workers, seed) if workers else None
    finally:
        torch.set_num_threads(threads)
    kinds: dict[str, int] = {}
    for ref in split.train:
        kinds[ref.kind] = kinds.get(ref.kind, 0) + 1
    return DataBench(
        root=str(root),
        layout=split.layout,
        clips=len(split.train),
        kinds=kinds,
        frame_shape=config.data.frame_shape,
        pairs=pairs,
        preloaded=preloaded,
        read_ms=_spread(read),
        augment_ms=_spread(changed),
        pairs_per_second=round(single, 1),
        pairs_per_cpu_second=round(per_cpu, 1),
        workers=workers,
        loader_pairs_per_second=None if loaded is None else round(loaded, 1),
        processors=processors(),
        failures=failures,
    )


def _stages(dataset: PairDataset, order: list[int], seed: int) -> tuple[list[float], list[float], int]:
    """Seconds of reading and of augmenting, pair by pair, and the clips that could not be read."""
    read, changed, failures = [], [], 0
    config = dataset.config
    for index in order:
        rng = generator(seed, 0, 3, index)
        members = dataset.items[index % len(dataset.items)]
        clip = members[int(rng.integers(len(members)))]
        start = time.perf_counter()
        try:
            pair = dataset.draw(clip, rng)[0]
        except FommError:
            failures += 1
            continue
        middle = time.perf_counter()
        augment(pair, config.augmentation, config.frame_shape, rng)
        read.append(middle - start)
        changed.append(time.perf_counter() - middle)
    if len(read) < 2:
        raise FommError(f"{failures} of {len(order)} draws could not be read.", "Run `fomm dataset check` first.")
    return read, changed, failures


def _loader(dataset: PairDataset, pairs: int, workers: int, seed: int) -> float:
    """Pairs a second of a loader in its stride, epochs following one another as in a training."""
    batch = max(1, min(8, len(dataset)))
    loader = DataLoader(
        dataset,
        batch_sampler=PairSampler(len(dataset), batch, seed),
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=True,
    )
    warm = workers * loader.prefetch_factor if loader.prefetch_factor else workers
    seen, epoch, start = 0, 0, time.perf_counter()
    while True:
        for _ in loader:
            seen += 1
            if seen == warm:  # what the workers had ready before anybody waited for them
                start = time.perf_counter()
            if (seen - warm) * batch >= pairs:
                return (seen - warm) * batch / (time.perf_counter() - start)
        epoch += 1
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def _spread(seconds: list[float]) -> tuple[float, float]:
    cut = statistics.quantiles(seconds, n=20)[-1]
    return round(1e3 * statistics.median(seconds), 3), round(1e3 * cut, 3)

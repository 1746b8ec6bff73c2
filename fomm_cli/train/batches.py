"""Batches: the pairs, their order, the processes that read them, and a batch on its device."""

from __future__ import annotations

import signal
from typing import Any

import torch
from torch.utils.data import DataLoader

from fomm_cli.config.schema import Config
from fomm_cli.data.pairs import Batch, PairDataset, PairSampler, collate
from fomm_cli.data.split import Split
from fomm_cli.device import processors
from fomm_cli.errors import FommError
from fomm_cli.model.pixels import scaled
from fomm_cli.model.training import Progress
from fomm_cli.processes import World
from fomm_cli.train.run import Options
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import draw_transform, draw_uniform


def feed(
    config: Config, options: Options, split: Split, world: World, device: torch.device
) -> tuple[PairDataset, PairSampler, DataLoader[Any]]:
    """The pairs, their order, and the processes that read them."""
    memory = int(options.memory * 2**30)
    dataset = PairDataset(split.train, config.data, seed=options.seed, repeats=config.train.num_repeats, memory=memory)
    sampler = PairSampler(len(dataset), config.train.batch_size, options.seed, world.rank, world.size)
    if memory and any(ref.kind in ("video", "strip") for ref in split.train):
        dataset.preload(memory, threads=processors())
    workers = options.workers
    if workers is None:
        workers = max(1, min(16, processors() // world.size) - 1)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker if workers else None,
    )
    return dataset, sampler, loader


def dismiss(loader: DataLoader[Any]) -> None:
    """Send the reading processes home. They ignore signals, so nobody else could."""
    iterator = getattr(loader, "_iterator", None)
    if iterator is not None:
        iterator._shutdown_workers()


def split_batch(
    config: Config, batch: Batch, state: State, seed: int, world: World, device: torch.device
) -> list[Part]:
    """The batch on the device, with this process's share of the step's random draws, in `accumulate` parts."""
    source, driving = (scaled(images.to(device, non_blocking=True)) for images in (batch.source, batch.driving))
    share = source.shape[0]
    if share % config.train.accumulate:
        raise FommError(
            f"The {share} pairs of a process cannot be split into train.accumulate={config.train.accumulate} parts.",
            "Choose train.batch_size a multiple of the number of processes times train.accumulate.",
        )
    whole = share * world.size, source, seed, state.step
    transform = draw_transform(config.train.transform, *whole, euclidean=state.recipe.euclidean)
    uniform = draw_uniform(state.recipe.uniforms(config.model), *whole)
    progress = Progress(seed, state.step, state.epoch)
    size = share // config.train.accumulate
    parts = []
    for first in range(0, share, size):
        part, mine = (slice(start, start + size) for start in (first, world.rank * share + first))
        parts.append(Part(_last(source[part]), _last(driving[part]), transform.rows(mine), progress, uniform[mine]))
    return parts


def _quiet_worker(number: int) -> None:
    # Ctrl-C, and the SIGTERM of many schedulers, reach the whole group; the loop must still finish its step and save.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


def _last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)

"""Batches: the pairs, their order, the processes that read them, and a batch on its device."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
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
    if iterator is None:
        return
    workers = list(getattr(iterator, "_workers", []))
    try:
        iterator._shutdown_workers()
    finally:
        for worker in workers:  # one that hangs is waited for when Python ends, and that wait has no end
            if worker.is_alive():
                worker.kill()
                worker.join()


@contextmanager
def reading() -> Iterator[None]:
    """Tell in a line that a reading process died, where torch tells it in fifty.

    It may be raised anywhere within: torch hears of a dead process by a signal.
    """
    try:
        yield
    except (ConnectionError, EOFError) as error:  # it died while it handed over what it had read
        raise FommError("A process that reads pairs died.", _DIED) from error
    except RuntimeError as error:
        said = " ".join(str(error).split())
        if "DataLoader worker" not in said:
            raise
        if "No space left" in said or "Bus error" in said or "shm" in said:
            raise FommError(
                "The reading processes have no shared memory left: /dev/shm is full.",
                "Give it more (docker: --shm-size=8g), or read in this process: --workers 0.",
            ) from error
        why = re.search(r"killed by signal: ([A-Za-z ]+)\.", said)
        raise FommError(f"A process that reads pairs died{f' ({why[1].lower()})' if why else ''}.", _DIED) from error


_DIED = "Where memory is short, try fewer --workers or less --memory; --workers 0 reads in this process."


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
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    torch.set_num_threads(1)


def _last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)

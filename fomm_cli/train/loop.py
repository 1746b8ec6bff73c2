"""The training loop, from the first batch to the finished weights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader

from fomm_cli.config.schema import Config
from fomm_cli.data.pairs import Batch, PairDataset, PairSampler, collate
from fomm_cli.data.split import Split, find_split
from fomm_cli.device import describe, keep_freed_memory, resolve
from fomm_cli.errors import FommError, counted
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.model.pixels import scaled
from fomm_cli.processes import World, any_of, own_device
from fomm_cli.train import checkpoint, perceptual
from fomm_cli.train.checkpoint import finish
from fomm_cli.train.logs import Log, truncate
from fomm_cli.train.run import Options, Run
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import draw_transform
from fomm_cli.train.validate import validate


def train(
    run: Run,
    config: Config,
    options: Options,
    world: World | None = None,
    resume: bool = False,
    console: Console | None = None,
    steps: int | None = None,
) -> State:
    """Train, or go on training, in a run folder.

    resume   go on from the run's last checkpoint
    steps    stop after this many steps in all, as if interrupted there
    Raises KeyboardInterrupt or SystemExit(143) after saving, when told to stop by SIGINT or SIGTERM.
    """
    world = world or World()
    device = own_device(resolve(options.device), world)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        torch.backends.cudnn.benchmark = True  # every step has the same shapes: let cuDNN find its fastest kernels once
    split = find_split(options.data, options.seed)
    _, sampler, loader = feed(config, options, split, world, device)
    go_on = resume and run.last.is_file()  # else it stopped before its first checkpoint: it begins again
    notes: list[str] = []
    state = start(config, replace(options, init=None) if go_on else options, device, world, say=notes.append)
    if go_on:
        checkpoint.load(state, run.last)
    if resume and world.first:
        tidy(run, state)
    epochs = config.train.num_epochs
    log = Log(run, state.names(), device, epochs * sampler.batches, console, world, options.tensorboard)
    log.say(
        f"{'Resuming' if resume else 'Training'} {run.folder} on {describe(device)}: "
        f"{counted(len(split.train), 'clip')} ({split.layout}), {counted(sampler.batches, 'step')} an epoch, "
        f"{counted(epochs, 'epoch')}"
    )
    for note in notes:
        log.say(note)
    if config.train.batch_size == world.size * config.train.accumulate and world.size == 1:
        log.say(
            "Batch norm sees one pair at a time: expect unsteady training; a larger batch is better than accumulation."
        )
    stopping = False
    saved_at, saved_step = time.monotonic(), state.step

    def save() -> None:
        nonlocal saved_at, saved_step
        log.flush(config.train.batch_size)  # metrics first: after a resume no step may be missing
        if world.first and saved_step < state.step:
            checkpoint.save(state, run.last)
        saved_at, saved_step = time.monotonic(), state.step
        log.restart()

    with signals() as stop:
        try:
            if world.first and not run.last.is_file():
                checkpoint.save(state, run.last)  # a full disk is noticed now, not after the first hours
            while state.epoch < epochs:
                sampler.set_epoch(state.epoch, state.batch)
                mark = time.perf_counter()
                for batch in loader:
                    parts = split_batch(config, batch, state, options.seed, world, device)
                    waited = time.perf_counter() - mark
                    values = state.update(parts)
                    state.batch += 1
                    head = {"step": state.step, "epoch": state.epoch, **state.rates()}
                    log.step(head, values, batch.names, batch.failures, waited)
                    due = state.step % options.log_every == 0
                    if due:
                        log.flush(config.train.batch_size)
                        give_up(log, config, run)
                    # Several processes agree when to stop and save; asking costs a wait, so they do it now and then.
                    asked = due or world.size == 1
                    if asked and any_of(bool(stop), world, device):
                        stopping = True
                        break
                    if steps is not None and state.step >= steps:
                        break
                    minutes = (time.monotonic() - saved_at) / 60
                    late = options.checkpoint_minutes > 0 and minutes >= options.checkpoint_minutes
                    due_by_steps = options.checkpoint_steps > 0 and state.step % options.checkpoint_steps == 0
                    if due_by_steps or (asked and any_of(late, world, device)):
                        save()
                    mark = time.perf_counter()
                if state.batch == sampler.batches:
                    state.next_epoch()
                    if options.validate_epochs and state.epoch % options.validate_epochs == 0:
                        log.flush(config.train.batch_size)
                        validate(run, state, split, options, log)
                    if options.checkpoint_minutes == 0 and options.checkpoint_steps == 0:
                        save()
                if stopping or (steps is not None and state.step >= steps):
                    break
            save()
            if state.epoch >= epochs and world.first:
                finish(run, state, options)
                log.say(f"Finished: {run.weights}")
            elif stopping:
                log.say(f"Stopped at step {state.step}, saved. Go on with: fomm resume {run.folder}")
        finally:
            log.close()
            dismiss(loader)
    if signal.SIGTERM in stop:
        raise SystemExit(128 + signal.SIGTERM)
    if signal.SIGINT in stop:
        raise KeyboardInterrupt
    return state


def tidy(run: Run, state: State) -> None:
    """Remove what was written after the checkpoint: the steps that follow will write it again."""
    checkpoint.tidy(run.checkpoints)
    truncate(run.metrics, state.step)
    truncate(run.nonfinite, state.step)
    # The validation that ends an epoch follows its last step: it is still to come unless the epoch was counted.
    truncate(run.validation, state.step - 1 if state.batch else state.step)


def start(
    config: Config,
    options: Options,
    device: torch.device,
    world: World,
    measuring: bool = False,
    say: Callable[[str], None] | None = None,
) -> State:
    """Fresh networks from the seed, or from `--init` weights, and the perceptual network.

    measuring   where only time and memory count: no perceptual network is downloaded, random numbers do
    say         is told what a person should know about the start
    """
    torch.manual_seed(options.seed)
    network = None
    weights = config.train.loss
    if not (any(weights.perceptual) or weights.reconstruction or weights.generator_gan):
        raise FommError(
            "No loss compares the picture: perceptual, reconstruction and generator_gan are all 0.",
            "Give one of them a weight, e.g. --set train.loss.reconstruction=10.",
        )
    if len(weights.perceptual) != 5:
        raise FommError(
            f"train.loss.perceptual has {len(weights.perceptual)} weights, the network five slices.",
            "Give five numbers, 0 for a slice that shall not count.",
        )
    if any(config.train.loss.perceptual):
        kind = config.train.perceptual_network
        given = options.perceptual_weights
        random = measuring and given is None
        network = perceptual.freeze(perceptual.build(kind)) if random else perceptual.obtain(kind, given)
        smallest = min(config.train.scales) * min(config.data.frame_shape)
        if smallest < perceptual.SMALLEST[config.train.perceptual_network]:
            raise FommError(
                f"The smallest pyramid scale makes images of {smallest:g} px; the {config.train.perceptual_network} "
                f"perceptual network needs {perceptual.SMALLEST[config.train.perceptual_network]}.",
                "Drop the smallest scales, e.g. --set train.scales=[1,0.5].",
            )
    state = State(config, device, network, world)
    if options.init:
        from fomm_cli.weights.load import init_from

        initial = init_from(options.init)
        tensors, missing = initial.model, config.model.num_kp - initial.config.model.num_kp
        if missing > 0 and initial.config.model.model_copy(update={"num_kp": config.model.num_kp}) == config.model:
            tensors = grown(tensors, state.model.state_dict())
            if say is not None:
                say(f"{options.init} has {initial.config.model.num_kp} keypoints; {missing} more begin at random.")
        load_weights(state.model, tensors, options.init)
        if state.discriminator is not None and initial.discriminator is not None:
            load_weights(state.discriminator, initial.discriminator, options.init)
        if state.average is not None:
            state.average.load_state_dict(state.model.state_dict())
    return state


def grown(given: dict[str, torch.Tensor], fresh: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a network with fewer keypoints for one with more.

    The channels of a keypoint come after those of the one before it, everywhere: those of the new ones stay `fresh`.
    """
    whole = {}
    for key, value in given.items():
        whole[key] = fresh[key].clone()
        whole[key][tuple(slice(length) for length in value.shape)] = value
    return whole


def load_weights(network: torch.nn.Module, given: dict[str, torch.Tensor], name: str) -> None:
    """Fill a network; FommError where keys or shapes differ, with the first of them."""
    wanted = network.state_dict()
    differing = [key for key in wanted if key not in given or given[key].shape != wanted[key].shape]
    differing += [key for key in given if key not in wanted]
    if differing:
        raise FommError(
            f"{name} has another architecture than this preset: {', '.join(differing[:5])}"
            f"{f' and {len(differing) - 5} more' if len(differing) > 5 else ''} differ.",
            "`fomm weights info` shows its config; change the preset's model keys with --set to agree.",
        )
    network.load_state_dict(given)


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


def processors() -> int:
    """How many this process may use, which a container or a scheduler can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def dismiss(loader: DataLoader[Any]) -> None:
    """Send the reading processes home. They ignore signals, so nobody else could."""
    iterator = getattr(loader, "_iterator", None)
    if iterator is not None:
        iterator._shutdown_workers()


def split_batch(
    config: Config, batch: Batch, state: State, seed: int, world: World, device: torch.device
) -> list[Part]:
    """The batch on the device, with this process's share of the step's random warps, in `accumulate` parts."""
    source, driving = (scaled(images.to(device, non_blocking=True)) for images in (batch.source, batch.driving))
    share = source.shape[0]
    if share % config.train.accumulate:
        raise FommError(
            f"The {share} pairs of a process cannot be split into train.accumulate={config.train.accumulate} parts.",
            "Choose train.batch_size a multiple of the number of processes times train.accumulate.",
        )
    whole = draw_transform(config.train.transform, share * world.size, source, seed, state.step)
    mine = slice(world.rank * share, (world.rank + 1) * share)
    theta, weights = whole.theta[mine], None if whole.weights is None else whole.weights[mine]
    size = share // config.train.accumulate
    parts = []
    for first in range(0, share, size):
        part = slice(first, first + size)
        transform = SmoothTransform(theta[part], None if weights is None else weights[part])
        parts.append(Part(_last(source[part]), _last(driving[part]), transform))
    return parts


def give_up(log: Log, config: Config, run: Run) -> None:
    """Stop when too many steps in a row were skipped."""
    if log.skipped_in_a_row >= config.train.max_nonfinite:
        raise FommError(
            f"{log.skipped_in_a_row} steps in a row had a loss or gradient that was not finite; the pairs and values "
            f"stand in {run.nonfinite}.",
            "Look at those pairs; else lower train.lr_generator and train.lr_kp_detector, set train.clip_grad_norm=10, "
            "or use train.precision=fp32, and start again with --init from the last good weights.",
        )


@contextmanager
def signals() -> Iterator[list[int]]:
    """Signals that ask to stop, collected instead of obeyed; a second Ctrl-C is obeyed at once."""
    received: list[int] = []
    first = 0.0

    def remember(number: int, frame: object) -> None:
        nonlocal first
        # A launcher passes on what the terminal has sent already: only a later Ctrl-C is a second one.
        if number == signal.SIGINT and received and time.monotonic() - first > 2:
            raise KeyboardInterrupt
        first = first or time.monotonic()
        received.append(number)

    try:
        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: the embedding program decides
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quiet_worker(number: int) -> None:
    # Ctrl-C, and the SIGTERM of many schedulers, reach the whole group; the loop must still finish its step and save.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


def _last(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)

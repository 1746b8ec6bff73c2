"""The training loop, from the first batch to the finished weights."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.device import describe, keep_freed_memory, resolve
from fomm_cli.errors import FommError, counted
from fomm_cli.model.config import AvdTrain
from fomm_cli.model.families import family_of
from fomm_cli.model.training import recipe_of
from fomm_cli.processes import World, any_of, by_first, from_environment, joined, own_device
from fomm_cli.train import checkpoint, material, shelf
from fomm_cli.train.batches import dismiss, feed, reading, split_batch
from fomm_cli.train.finish import finish
from fomm_cli.train.judge import judge
from fomm_cli.train.logs import Log, truncate
from fomm_cli.train.recorders import recorders
from fomm_cli.train.run import Options, Run, claimed, create
from fomm_cli.train.start import second_stage, start
from fomm_cli.train.state import State
from fomm_cli.train.validate import validate


def train(
    config: Config | str | Path,
    options: Options,
    runs: str | Path = "runs",
    steps: int | None = None,
    console: Console | None = None,
) -> Run:
    """Train a network from the beginning, in a run folder of its own; what `fomm train` does.

    >>> run = train("toon-64", Options(data="clips", device="cpu"))
    >>> model = load_model(run.weights)

    config    a Config (`config.reading.load` takes overrides), or the name or path of one
    options   where the data is, and how to train
    runs      folder that gets the numbered run folder
    steps     stop after this many steps, as if interrupted there; `resume` goes on
    console   where a person reads; None is silent
    returns   the run: `.weights` is the finished file, `.metrics` a line a step
    Raises FommError; KeyboardInterrupt or SystemExit(143), after saving, when told to stop by SIGINT or SIGTERM. Where
    torchrun has started several processes, call it in each.
    """
    if isinstance(config, Config) and isinstance(config.train, AvdTrain) and options.init is None:
        raise FommError("The second stage goes on from finished weights.", "Name them with --init.")
    if not isinstance(config, Config):
        config = second_stage(options.init) if config == "avd" else configs.load(config)
    family_of(config.model).training()  # some families only animate: said before anything is read or written
    options = options.absolute()
    return _together(config, options, lambda: create(runs, config, options), False, steps, console)


def resume(
    run: Run,
    options: Options | None = None,
    steps: int | None = None,
    console: Console | None = None,
    accept_data: bool = False,
) -> Run:
    """Go on with a run from its last checkpoint; what `fomm resume` does. See `train`.

    run          `Run(folder)`, or what `train.run.find` returns
    options      other ones than the run's own, such as `replace(run.read_options(), device="cuda")`
    steps        stop after this many steps in all
    accept_data  go on although the data set is not the one that the run was fed with
    """
    options = (options or run.read_options()).absolute()
    return _together(run.read_config(), options, lambda: run, True, steps, console, accept_data)


def _together(
    config: Config,
    options: Options,
    make: Callable[[], Run],
    resume: bool,
    steps: int | None,
    console: Console | None,
    accept_data: bool = False,
) -> Run:
    """Join the other processes, if any, and train; the first of them makes the run folder."""
    world = from_environment()
    with joined(world, own_device(resolve(options.device), world)), ExitStack() as held:

        def begin() -> str:
            run = make()
            held.enter_context(claimed(run))
            return str(run.folder)

        run = Run(Path(by_first(begin, world)))
        try:
            loop(run, config, options, world, resume, steps, console, accept_data)
        except FommError:
            if world.first and not resume and not run.metrics.is_file():
                shutil.rmtree(run.folder, ignore_errors=True)  # nothing was trained: leave no empty run behind
            raise
    return run


class Clock:
    """When to log, to save and to stop.

    Several processes must agree on the answers, and asking costs a wait: signals and minutes are looked at only when
    a window of metrics is written, which waits anyway. A process alone looks at every step.

    told    signals received so far
    steps   to stop after, None = none
    step    of the last checkpoint
    """

    def __init__(
        self, options: Options, steps: int | None, told: list[int], world: World, device: torch.device, step: int
    ) -> None:
        self._options, self._steps, self._told, self._world, self._device = options, steps, told, world, device
        self.saved_step = step
        self._saved = time.monotonic()
        self.interrupted = False

    def logs(self, step: int) -> bool:
        return step % self._options.log_every == 0

    def stops(self, step: int) -> bool:
        if not self.interrupted and self._asks(step):
            self.interrupted = any_of(bool(self._told), self._world, self._device)
        return self.interrupted or (self._steps is not None and step >= self._steps)

    def saves(self, step: int) -> bool:
        minutes, steps = self._options.checkpoint_minutes, self._options.checkpoint_steps
        if steps > 0 and step % steps == 0:
            return True
        late = minutes > 0 and (time.monotonic() - self._saved) / 60 >= minutes
        return self._asks(step) and any_of(late, self._world, self._device)

    def saved(self, step: int) -> None:
        """The time to the next checkpoint begins."""
        self.saved_step, self._saved = step, time.monotonic()

    def _asks(self, step: int) -> bool:
        return self.logs(step) or self._world.size == 1


def loop(
    run: Run,
    config: Config,
    options: Options,
    world: World,
    resume: bool = False,
    steps: int | None = None,
    console: Console | None = None,
    accept_data: bool = False,
) -> State:
    """Train, or go on training, in a run folder; the arguments are those of `train` and `resume`."""
    device = own_device(resolve(options.device), world)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        torch.backends.cudnn.benchmark = True  # every step has the same shapes: let cuDNN find its fastest kernels once
    split = material.find(run, options, resume)
    notes = list(split.notes)
    notes.append(by_first(lambda: material.remember(run, options, split, resume, accept_data), world))
    _, sampler, loader = feed(config, options, split, world, device)
    judging = None
    if (
        world.first
        and split.test
        and options.validate_epochs
        and recipe_of(family_of(config.model), config.train).validates
    ):
        judging = judge(options, config.data.frame_shape, device)
        notes.append(judging.left_out)
    found = shelf.newest(run) if resume and shelf.any_there(run) else None  # none yet: it begins again
    state = start(config, replace(options, init=None) if found else options, device, world, say=notes.append)
    state.batches = sampler.batches
    if found:
        checkpoint.restore(state, found.content, found.path)
        notes.append(found.note)
        state.batch = min(state.batch, sampler.batches)  # an epoch of other data, which was accepted, may be shorter
    if resume and world.first:
        if found:
            shelf.go_on(run, found, state.step)
        tidy(run, state)
    found = None  # a second copy of everything
    epochs = config.train.num_epochs
    records = recorders(run, config, options, state.step) if world.first else []
    log = Log(run, state.names(), device, epochs * sampler.batches, console, world, records)
    log.say(
        f"{'Resuming' if resume else 'Training'} {run.folder} on {describe(device)}: "
        f"{counted(len(split.train), 'clip')} ({split.layout}), {counted(sampler.batches, 'step')} an epoch, "
        f"{counted(epochs, 'epoch')}"
    )
    for note in filter(None, notes):
        log.say(note)
    if config.train.batch_size == config.train.accumulate and world.size == 1:
        log.say(
            "Batch norm sees one pair at a time: expect unsteady training; a larger batch is better than accumulation."
        )
    with signals() as told, reading():
        clock = Clock(options, steps, told, world, device, state.step)
        try:
            if world.first and not run.last.is_file():
                checkpoint.save(state, run.last)  # a full disk is noticed now, not after the first hours
            while state.epoch < epochs and not clock.stops(state.step):
                sampler.set_epoch(state.epoch, state.batch)
                mark = time.perf_counter()
                for batch in loader:
                    parts = split_batch(config, batch, state, options.seed, world, device)
                    waited = time.perf_counter() - mark
                    rates = {f"lr_{name}": value for name, value in state.rates().items()}
                    values = state.update(parts)
                    state.batch += 1
                    head = {"step": state.step, "epoch": state.epoch, **rates}
                    log.step(head, values, batch.names, batch.failures, waited)
                    if clock.logs(state.step):
                        log.flush(config.train.batch_size)
                        give_up(log, config, run)
                    if clock.stops(state.step):
                        break
                    if clock.saves(state.step):
                        save(run, state, log, clock, options.keep)
                    mark = time.perf_counter()
                if state.batch == sampler.batches:
                    state.next_epoch()
                    due = options.validate_epochs and state.epoch % options.validate_epochs == 0
                    if due and state.recipe.validates:
                        log.flush(config.train.batch_size)
                        if judging is not None:  # the first process, which does it for all
                            validate(run, state, split, options, log, judging)
                    if options.checkpoint_minutes == 0 and options.checkpoint_steps == 0:
                        save(run, state, log, clock, options.keep)
                    if options.milestone_epochs and state.epoch % options.milestone_epochs == 0 and world.first:
                        shelf.milestone(state, run)
                        log.restart()
            save(run, state, log, clock, options.keep)
            if state.epoch >= epochs and world.first:
                finish(run, state, options, split.train)
                log.say(f"Finished: {run.weights}")
            elif clock.interrupted:
                log.say(f"Stopped at step {state.step}, saved. Go on with: fomm resume {run.folder}")
        finally:
            log.close()
            dismiss(loader)
    if set(told) - {signal.SIGINT}:
        raise SystemExit(128 + signal.SIGTERM)
    if signal.SIGINT in told:
        raise KeyboardInterrupt
    return state


def save(run: Run, state: State, log: Log, clock: Clock, keep: int) -> None:
    """A checkpoint, unless nothing was trained since the last one."""
    log.flush(state.config.train.batch_size)  # metrics first: after a resume no step may be missing
    if state.world.first and clock.saved_step < state.step:
        shelf.put(state, run, keep, clock.saved_step)
    clock.saved(state.step)
    log.restart()


def tidy(run: Run, state: State) -> None:
    """Remove what was written after the checkpoint: the steps that follow will write it again."""
    checkpoint.tidy(run.checkpoints)
    truncate(run.metrics, state.step)
    truncate(run.nonfinite, state.step)
    # The validation that ends an epoch follows its last step: it is still to come unless the epoch was counted.
    truncate(run.validation, state.step - 1 if state.batch else state.step)


def give_up(log: Log, config: Config, run: Run) -> None:
    """Stop when too many steps in a row were skipped."""
    if log.skipped_in_a_row >= config.train.max_nonfinite:
        raise FommError(
            f"{log.skipped_in_a_row} steps in a row had a loss or gradient that was not finite; the pairs and values "
            f"stand in {run.nonfinite}.",
            "Look at those pairs; else lower train.lr_generator and train.lr_kp_detector, set train.clip_grad_norm=10, "
            "or use train.precision=fp32, and start again with --init from the last good weights.",
        )


STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


@contextmanager
def signals() -> Iterator[list[int]]:
    """Signals that ask to stop, collected instead of obeyed; a second Ctrl-C is obeyed at once.

    SIGUSR1 is what SLURM sends ahead of the end of a job's time (--signal=USR1@300).
    """
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
        before = {number: signal.signal(number, remember) for number in STOPPING}
    except ValueError:  # not in the main thread: the embedding program decides
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

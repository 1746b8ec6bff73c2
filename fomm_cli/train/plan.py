"""What a training would be: steps, memory and time, from a few measured steps."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from fomm_cli.config.schema import Config
from fomm_cli.data.split import find_split
from fomm_cli.device import describe, keep_freed_memory, peak_memory, resolve
from fomm_cli.errors import counted
from fomm_cli.processes import World
from fomm_cli.train.batches import dismiss, feed, split_batch
from fomm_cli.train.run import Options
from fomm_cli.train.start import start

MEASURED = 3


@dataclass(frozen=True)
class Plan:
    """What a training would be.

    clips, items         to train on; an item is an identity, or a clip without identity sampling
    test_clips           to validate on
    parameters           trained numbers
    step_seconds         median of a few steps after the first, data ready
    data_seconds         median time a step waited for its data
    memory_gib           peak while measuring: of the GPU, or of this process
    hours                the whole training at that pace, validation not counted
    """

    preset: str
    device: str
    layout: str
    clips: int
    items: int
    test_clips: int
    batch_size: int
    steps_per_epoch: int
    epochs: int
    total_steps: int
    parameters: int
    step_seconds: float
    data_seconds: float
    memory_gib: float
    hours: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        return "\n".join(
            (
                f"{self.preset} on {self.device}",
                f"data       {counted(self.clips, 'clip')}, {counted(self.items, 'item')} to train on, "
                f"{counted(self.test_clips, 'clip')} to test on ({self.layout})",
                f"steps      {self.steps_per_epoch} an epoch of {counted(self.batch_size, 'pair')}, "
                f"{counted(self.epochs, 'epoch')}, {self.total_steps} in all",
                f"network    {self.parameters / 1e6:.1f} million trained numbers",
                f"memory     {self.memory_gib:.1f} GiB at the peak of a step",
                f"time       {self.step_seconds:.3f} s a step ({self.data_seconds:.3f} s of it waiting for data): "
                f"{self._span()} in all, validation not counted",
            )
        )

    def _span(self) -> str:
        return f"{self.hours:.1f} h" if self.hours >= 1 else f"{60 * self.hours:.1f} min"


def plan(config: Config, options: Options) -> Plan:
    """Read the data set, build the networks, measure a few real steps; write nothing."""
    device = resolve(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    split = find_split(options.data, options.seed, None if options.split is None else Path(options.split))
    dataset, sampler, loader = feed(config, options, split, World(), device)
    state = start(config, options, device, World(), measuring=True)
    state.batches = sampler.batches
    waits, times = [], []
    try:
        mark = time.perf_counter()
        for batch in loader:
            waits.append(time.perf_counter() - mark)
            began = time.perf_counter()
            state.update(split_batch(config, batch, state, options.seed, World(), device))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - began)
            if len(times) > MEASURED:
                break
            mark = time.perf_counter()
    finally:
        dismiss(loader)
    wait = median(waits[1:] or waits)
    step = median(times[1:] or times) + wait
    total = config.train.num_epochs * sampler.batches
    return Plan(
        preset=config.name,
        device=describe(device),
        layout=split.layout,
        clips=len(split.train),
        items=len(dataset.items),
        test_clips=len(split.test),
        batch_size=config.train.batch_size,
        steps_per_epoch=sampler.batches,
        epochs=config.train.num_epochs,
        total_steps=total,
        parameters=sum(
            parameter.numel()
            for group in state.groups.values()
            for parameter in group.parameters
            if parameter.requires_grad
        ),
        step_seconds=round(step, 4),
        data_seconds=round(wait, 4),
        memory_gib=round(peak_memory(device), 3),
        hours=round(total * step / 3600, 3),
    )

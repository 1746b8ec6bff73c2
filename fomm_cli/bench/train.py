"""How fast a training step is on a batch that lies in memory: the networks alone, without reading data."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from fomm_cli.config.schema import Config
from fomm_cli.device import describe, keep_freed_memory, peak_memory, resolve
from fomm_cli.model.families import family_of
from fomm_cli.model.training import recipe_of
from fomm_cli.train import perceptual
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import draw_transform, draw_uniform

WARM_UP = 2


@dataclass(frozen=True)
class Pace:
    """A step in one precision.

    precision         fp32 or bf16
    seconds           median of the measured steps
    pairs_per_second  batch size / seconds
    memory_gib        peak: of the GPU; of the process so far on a processor
    """

    precision: str
    seconds: float
    pairs_per_second: float
    memory_gib: float


@dataclass(frozen=True)
class TrainBench:
    """What was measured of a training step.

    paces   one a precision
    ratio   steps in bf16 a step in fp32, measured in one run on one machine
    """

    preset: str
    device: str
    torch: str
    batch_size: int
    frame_shape: tuple[int, int]
    steps: int
    paces: list[Pace]
    ratio: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def bench_train(config: Config, device_name: str, steps: int, precisions: list[str]) -> TrainBench:
    """Time whole updates (losses, gradients, optimisers) on random pictures; the perceptual network is random too."""
    device = resolve(device_name)
    if device.type == "cpu":
        keep_freed_memory()
    states = {precision: _state(config, precision, device) for precision in precisions}
    times: dict[str, list[float]] = {precision: [] for precision in precisions}
    peaks: dict[str, float] = {}
    batch = _batch(config, device)
    # Turn by turn, so that a busy or hot machine slows all of them alike.
    for number in range(WARM_UP + steps):
        for precision, state in states.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            seconds = _step(state, batch, device)
            if number >= WARM_UP:
                times[precision].append(seconds)
            peaks[precision] = max(peaks.get(precision, 0.0), peak_memory(device))
    size = config.train.batch_size
    paces = [
        Pace(name, round(middle, 5), round(size / middle, 2), round(peaks[name], 3))
        for name, middle in ((name, median(found)) for name, found in times.items())
    ]
    seconds_of = {pace.precision: pace.seconds for pace in paces}
    both = "fp32" in seconds_of and "bf16" in seconds_of
    return TrainBench(
        preset=config.name,
        device=describe(device),
        torch=torch.__version__,
        batch_size=size,
        frame_shape=config.data.frame_shape,
        steps=steps,
        paces=paces,
        ratio=round(seconds_of["fp32"] / seconds_of["bf16"], 3) if both else None,
    )


def _state(config: Config, precision: str, device: torch.device) -> State:
    train = config.train.model_copy(update={"precision": precision})
    torch.manual_seed(0)
    network = None
    if any(train.loss.perceptual):
        network = perceptual.freeze(perceptual.build(train.perceptual_network))
    return State(config.model_copy(update={"train": train}), device, network)


def _batch(config: Config, device: torch.device) -> list[Part]:
    height, width = config.data.frame_shape
    size = config.train.batch_size // config.train.accumulate
    generator = torch.Generator().manual_seed(0)
    recipe = recipe_of(family_of(config.model), config.train)
    parts = []
    for number in range(config.train.accumulate):
        source, driving = (
            torch.rand(size, config.model.num_channels, height, width, generator=generator)
            .to(device)
            .contiguous(memory_format=torch.channels_last)
            for _ in range(2)
        )
        drawn = size, source, 0, number
        transform = draw_transform(config.train.transform, *drawn, euclidean=recipe.euclidean)
        uniform = draw_uniform(recipe.uniforms(config.model), *drawn)
        parts.append(Part(source, driving, transform, uniform=uniform))
    return parts


def _step(state: State, parts: list[Part], device: torch.device) -> float:
    began = time.perf_counter()
    state.update(parts)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began

"""What any family's frame costs, stage by stage: its networks as they are written against its quick engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fomm_cli.bench.stand_in import clip
from fomm_cli.bench.timing import Row, Timing, gate, take_turns
from fomm_cli.engine.base import Engine
from fomm_cli.engine.choose import best_precision, make_engine
from fomm_cli.errors import FommError
from fomm_cli.model.network import AnimationModel

CLOSE = 45.0
"""PSNR in dB against the plain engine below which nothing is timed."""


def bench_stages(
    model: AnimationModel,
    precision: str,
    rounds: int,
    frames: int,
    say: Callable[[str], None],
    processor_time: bool,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, dict[str, float]]]]:
    """(engine -> its agreement, stage -> engine -> ms and ratio to the plain engine's same stage), a frame at a time.

    The last stage is what a frame costs: all four of the plain engine, which encodes the source for each as the
    original does, against the other engines' last three.
    """
    device = next(model.parameters()).device
    engines = _engines(model, best_precision(device) if precision == "auto" else precision)
    pictures = clip(model.size, 3)
    truth, *others = (_made(engine, pictures) for engine in engines)
    gates = {}
    for engine, (frame, pose) in zip(engines[1:], others, strict=True):
        found = gate(truth[0], frame, truth[1], pose, model.size)
        if not found.psnr >= CLOSE:
            raise FommError(f"{engine.name}: PSNR {found.psnr:.1f} dB against the plain engine, less than {CLOSE:g}.")
        gates[_short(engine)] = {key: round(float(value), 5) for key, value in found._asdict().items()}
    stages = [_stages(engine, pictures) for engine in engines]
    table: dict[str, dict[str, dict[str, float]]] = {}
    for stage in stages[0]:
        rows = [Row(f"{_short(engine)}: {stage}", own[stage]) for engine, own in zip(engines, stages, strict=True)]
        timed = take_turns(rows, rounds, frames, device, warm_up=1, progress=say, processor_time=processor_time)
        plain: Timing = timed[rows[0].name]
        table[stage] = {_short(each): timed[row.name].as_dict(plain) for each, row in zip(engines, rows, strict=True)}
    return gates, table


def _engines(model: AnimationModel, quick: str) -> list[Engine]:
    """The plain one in fp32, and what else can run these networks here."""
    fused = model.family.fusable(model.config)
    others = ["fp32", quick] if fused else [quick]
    ways = [each for each in dict.fromkeys(others) if fused or each != "fp32"]
    return [make_engine(model, "plain"), *(make_engine(model, "fused" if fused else "plain", way) for way in ways)]


def _made(engine: Engine, pictures: Any) -> tuple[Any, Any]:
    """A frame, of [0, 1], and the points of its pose."""
    source, driving = engine.detect(pictures[:1]), engine.detect(pictures[1:])
    settled = engine.settle(source, driving)
    frames = engine.render(engine.encode(pictures[0]), source, settled)
    return np.moveaxis(frames.astype(np.float32) / 255, -1, 1), driving.value[..., :2]


def _stages(engine: Engine, pictures: Any) -> dict[str, Callable[[], Any]]:
    picture, one = pictures[0], pictures[1:2]
    encoded, source, driving = engine.encode(picture), engine.detect(pictures[:1]), engine.detect(one)
    plain = "plain fp32" in engine.name

    def frame() -> Any:
        held = engine.encode(picture) if plain else encoded
        return engine.render(held, source, engine.settle(source, engine.detect(one)))

    return {
        "encode the source": lambda: engine.encode(picture),
        "detect": lambda: engine.detect(one),
        "settle": lambda: engine.settle(source, driving),
        "render": lambda: engine.render(encoded, source, driving),
        "a frame": frame,
    }


def _short(engine: Engine) -> str:
    return engine.name.partition(" on ")[0]

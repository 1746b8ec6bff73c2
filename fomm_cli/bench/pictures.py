"""What frames larger than the network's cost beside the network alone: moved at full size, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import Paste
from fomm_cli.animate.whole import Stage, Whole
from fomm_cli.bench.stand_in import clip
from fomm_cli.bench.timing import Row
from fomm_cli.boxes import Box
from fomm_cli.engine.base import Engine
from fomm_cli.media.image import Frame, resize

ALONE = "network alone"
LARGE, FULL, WHOLE, PART = 512, 2000, 3000, 1000
"""Pixels: of `--size 512`, of a source at full size, of a picture, and of the part of it that moves."""


def picture_rows(engine: Engine, batch: int) -> list[Row]:
    """One engine's ways, from uint8 to uint8 and one thread after the other; the first is the network alone."""
    frames = clip(engine.size, batch + 1)
    encoded, source = engine.encode(frames[0]), engine.detect(frames[:1])

    def alone() -> Any:
        return engine.render(encoded, source, engine.detect(frames[1:]))

    runner = Runner(engine)
    picture = resize(frames[0], (FULL, FULL))
    around = np.full((WHOLE, WHOLE, 3), 128, np.uint8)
    box = Box(PART, PART, PART, PART)
    around[PART : 2 * PART, PART : 2 * PART] = resize(frames[0], (PART, PART))
    stages: dict[str, Stage] = {
        f"at {LARGE} px": Scene(runner, picture, frames=LARGE),
        f"at full size, {FULL:,} px": Scene(runner, picture, frames="source"),
        f"{PART:,} px put back into {WHOLE:,} x {WHOLE:,}": Whole([Scene(runner, around, box)], Paste()),
    }
    return [Row(ALONE, alone, batch), *(_row(way, stage, frames[1:]) for way, stage in stages.items())]


def _row(way: str, stage: Stage, driving: Sequence[Frame] | np.ndarray) -> Row:
    scene = stage.faces[0]

    def run() -> Any:
        poses = scene.runner.detect(driving)
        return [stage.compose([part]).shape for part in scene.draw(poses)]  # frames are written, not gathered

    return Row(way, run, len(driving))

"""Small data sets of every layout, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def pictures(count: int, side: int = 32, seed: int = 0) -> list[np.ndarray]:
    """Smooth coloured frames, each with its number readable: the top left 8x8 block is grey 10 * (number + 1)."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, side)
    frames = []
    for index in range(count):
        colours = rng.uniform(40, 215, (2, 2, 3))
        rows = (1 - ramp)[:, None, None] * colours[0] + ramp[:, None, None] * colours[1]
        frame = (1 - ramp)[None, :, None] * rows[:, :1] + ramp[None, :, None] * rows[:, 1:]
        frame = np.rint(np.broadcast_to(frame, (side, side, 3))).astype(np.uint8)
        frame[:8, :8] = 10 * (index + 1)
        frames.append(frame)
    return frames


def number(frame: np.ndarray) -> int:
    """The number of a frame of `pictures`, after any codec."""
    return round(float(frame[2:6, 2:6].mean()) / 10) - 1


def folder(path: Path, frames: Sequence[np.ndarray], pattern: str = "{}.png") -> Path:
    """Frames as files whose plain sorting would put 10 before 2."""
    path.mkdir(parents=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / pattern.format(index))
    return path


def strip(path: Path, frames: Sequence[np.ndarray], mode: str = "RGB") -> Path:
    """Frames side by side; mode "I;16" stores their grey as 16 bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wide = np.concatenate(frames, axis=1)
    if mode == "I;16":
        Image.fromarray(wide[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(wide).convert(mode).save(path)
    return path


def strips(root: Path, names: Sequence[str], count: int = 5, side: int = 32) -> Path:
    """A folder of film strips."""
    for seed, name in enumerate(names):
        strip(root / f"{name}.png", pictures(count, side, seed))
    return root

"""What the tests of evaluations share: tiny clips, a tiny network, stand-ins for detectors and methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.evaluate.methods import Take
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.weights.file import save_weights

SIDE = 32
SMALL = [
    "data.frame_shape=[32,32]",
    "model.num_kp=4",
    *(f"model.{part}.block_expansion=4" for part in ("detector", "dense_motion", "generator")),
    *(f"model.{part}.max_features=8" for part in ("detector", "dense_motion", "generator")),
    *(f"model.{part}.num_blocks=1" for part in ("detector", "dense_motion")),
    "model.generator.num_down_blocks=1",
    "model.generator.num_bottleneck_blocks=1",
]


def strip(seed: int, frames: int, side: int = SIDE) -> np.ndarray:
    """Film strip (side, side * frames, 3): a bright square wanders over noise."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 120, (side, side, 3), dtype=np.uint8)
    made = []
    for _ in range(frames):
        frame = picture.copy()
        y, x = rng.integers(2, side - 10, 2)
        frame[y : y + 8, x : x + 8] = 255
        made.append(frame)
    return np.concatenate(made, axis=1)


def write_clips(root: Path) -> Path:
    """Three test clips of 5, 3 and 4 frames, two of one person, and one to train."""
    for part, names in {"train": ["t#1"], "test": ["anna#1", "anna#2", "bob#1"]}.items():
        (root / part).mkdir(parents=True)
        for seed, name in enumerate(names):
            Image.fromarray(strip(seed, 5 - 2 * (seed % 2) - seed // 2)).save(root / part / f"{name}.png")
    return root


def write_tiny(path: Path) -> Path:
    """Weights of random numbers."""
    torch.manual_seed(0)
    config = configs.load("toon-64", SMALL)
    save_weights(path, FirstOrderModel(config.model, (SIDE, SIDE)), config)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> Any:
    """The JSON a command prints, or what it says on stderr where it is to fail."""
    capsys.readouterr()
    got = main([*map(str, arguments)])
    out, err = capsys.readouterr()
    assert got == code, err
    return json.loads(out) if "--json" in arguments and not code else err if code else out


class Shifted:
    """The driving frame, three pixels to the right and down."""

    name, size = "shifted", None

    def start(self, source: torch.Tensor, initial: torch.Tensor, mode: str, adapt_scale: bool = True) -> Any:
        return lambda driving: Take(driving.roll((3, 3), (2, 3)), None)


class Blob:
    """Finds the bright square; its corners are the points."""

    name, digest = "blob", None

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        where = np.argwhere(frame.min(2) == 255)
        return None if len(where) < 64 else np.stack([where.min(0), where.max(0)])[:, ::-1].astype(float)

    def embedding(self, frame: np.ndarray) -> np.ndarray:
        return frame.mean((0, 1))

    def embedding_at(self, frame: np.ndarray, points: np.ndarray | None) -> np.ndarray:
        return self.embedding(frame)

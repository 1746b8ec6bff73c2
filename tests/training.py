"""Tiny trainings for tests: a config of some thousand numbers, clips of moving dots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from tests.data_material import strip

TREE: dict[str, Any] = {
    "name": "tiny",
    "model": {
        "num_kp": 3,
        "detector": {"block_expansion": 4, "max_features": 8, "num_blocks": 2, "scale_factor": 0.5, "pad": 3},
        "dense_motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 2, "scale_factor": 0.5},
        "generator": {"block_expansion": 4, "max_features": 8, "num_down_blocks": 1, "num_bottleneck_blocks": 1},
        "discriminator": {"block_expansion": 4, "max_features": 8, "num_blocks": 2},
    },
    "data": {"frame_shape": [16, 16], "augmentation": {"brightness": 0.1}},
    "train": {
        "num_epochs": 3,
        "num_repeats": 2,
        "batch_size": 4,
        "scales": [1.0],
        "ema": 0.9,
        "epoch_milestones": [2],
        "loss": {
            "perceptual": [0, 0, 0, 0, 0],
            "generator_gan": 1.0,
            "feature_matching": [10, 10],
            "reconstruction": 10.0,
        },
    },
}


def tiny_config(**train: Any) -> Config:
    """The config above; keyword arguments replace fields of `train`."""
    return build(TREE | {"train": TREE["train"] | train})


def tiny_file(path: Path) -> Path:
    """The config above as a YAML file."""
    path.write_text(yaml.safe_dump(TREE))
    return path


def tiny_clips(root: Path, train: int = 10, test: int = 2, frames: int = 4, side: int = 16) -> Path:
    """Film strips of a bright square that moves to the right over a ramp."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for number in range(count):
            colours = rng.integers(0, 255, (2, 3))
            ramp = np.linspace(0, 1, side)[:, None, None]
            pictures = []
            for frame in range(frames):
                picture = np.rint(np.broadcast_to(ramp * colours[0], (side, side, 3))).astype(np.uint8)
                picture[4:9, 2 * frame : 2 * frame + 5] = colours[1]
                pictures.append(picture)
            strip(root / part / f"{part}{number:02d}.png", pictures)
    return root

"""The bundled clip of a person: a portrait in the public domain, made to talk.

`python -m fomm_cli.data.portraits.demo PORTRAIT POINTS CLIP` redraws it; docs/dataset-synth.md tells what POINTS are.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from fomm_cli.data.portraits.figure import Figure, prepare
from fomm_cli.data.portraits.head import NOSE
from fomm_cli.data.portraits.play import sample_acting
from fomm_cli.data.portraits.shot import Scene, draw_clip, sample_scene
from fomm_cli.data.portraits.sittings import Reader, Sitting
from fomm_cli.data.portraits.surfaces import FACE
from fomm_cli.data.toon.demo import write_talk

SEED, TRAJECTORY = 2026, 941
RATE = Fraction(25)
_SIDE = 2.0
"""Side of the frame, in heights of the face."""


def demo_clip(
    portrait: Path, points: Path, path: Path, seconds: float = 5.0, size: int = 256, force: bool = False
) -> Path:
    """Writes `size` px, 25 frames a second, with a voice that is as loud as the mouth is open."""
    figure = prepare(Reader().read(Sitting(portrait.stem, portrait, portrait.stem, points)))
    frames = round(seconds * RATE)
    acting = sample_acting(SEED, TRAJECTORY, frames, float(RATE), held_out=True)
    write_talk(path, draw_clip(figure, acting, _scene(figure, frames, size), size), acting.motion, RATE, force)
    return path


def _scene(figure: Figure, frames: int, size: int) -> Scene:
    """The person before their own background, in the picture's own colours, the camera still."""
    random = np.random.default_rng(SEED)
    scene = sample_scene(random, figure, frames, float(RATE), size, lambda _: np.zeros((1, 1, 3), np.uint8), still=True)
    side = _SIDE * FACE
    middle = figure.landmarks[NOSE].mean(0) + side * np.array([0.0, 0.04])
    look = replace(scene.look, middle=middle, side=side)
    own = replace(scene, background=None, gain=np.ones(3), gamma=1.0, saturation=1.0, mirrored=False)
    return replace(own, look=look, kept=0.0)


if __name__ == "__main__":
    picture, found, clip = (Path(word) for word in sys.argv[1:4])
    demo_clip(picture, found, clip, force=True)

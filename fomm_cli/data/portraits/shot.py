"""One clip of a figure: how it is framed, lit, coloured and set, and the frames of what they do there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from fomm_cli.data.portraits import images, scenery
from fomm_cli.data.portraits.drawing import Look, Stage
from fomm_cli.data.portraits.figure import Figure
from fomm_cli.data.portraits.head import EYES, LIPS, NOSE
from fomm_cli.data.portraits.images import LUMA
from fomm_cli.data.portraits.play import Acting, expressions
from fomm_cli.data.portraits.surfaces import FACE
from fomm_cli.data.toon.trajectories import wander

Others = Callable[[np.random.Generator], np.ndarray]
"""Some other portrait's picture, uint8, for its background."""


@dataclass(frozen=True)
class Scene:
    """Everything about a clip that is neither who is in it nor what they do.

    look        framing, light, mouth
    kept        how much of the picture's own mouth stays at rest, 0..1
    background  (2 size, 2 size, 3), or None: the picture's own
    gain        (3,), then gamma, then saturation
    mirrored    left and right change places
    """

    look: Look
    kept: float
    background: np.ndarray | None
    gain: np.ndarray
    gamma: float
    saturation: float
    mirrored: bool


def sample_scene(
    random: np.random.Generator,
    figure: Figure,
    frames: int,
    rate: float,
    size: int,
    others: Others,
    still: bool = False,
) -> Scene:
    """What a clip looks like.

    still  the camera stays where it is
    """
    middle, side = _framing(random, figure)
    camera = np.zeros((frames, 3))
    if random.random() < 0.3 and not still:
        walks = wander(torch.from_numpy(random.random((3, 12))), torch.arange(frames) / rate, 0.06, 0.7)
        camera = 0.03 * random.uniform(0.3, 1.5) * walks.T.numpy()
    lamp = np.array([random.normal(), random.normal() - 0.5, 0.3])
    far = random.random() < 0.6
    body = (
        random.uniform(0.6, 1.0) if far else random.uniform(0.25, 0.95),
        *random.uniform(0, 0.35, 2),
        random.uniform(0.4, 1),
    )
    look = Look(
        middle,
        side,
        camera,
        body,
        lamp / np.linalg.norm(lamp),
        random.uniform(0, 0.4),
        _tissue(random, figure),
        (random.uniform(0.2, 0.6), random.uniform(0.2, 0.5)),
    )
    kept = float(random.choice([0.0, 1.0, random.random()], p=[0.35, 0.35, 0.3]))
    background = _background(random, 2 * size, others)
    return Scene(
        look,
        kept,
        background,
        gain=random.uniform(0.8, 1.08) * (1 + random.normal(0, 0.025, 3)),
        gamma=random.uniform(0.85, 1.25),
        saturation=0.0 if random.random() < 0.03 else random.uniform(0.7, 1.15),
        mirrored=bool(random.random() < 0.5),
    )


def _framing(random: np.random.Generator, figure: Figure) -> tuple[np.ndarray, float]:
    """The nose near the middle, and hardly anything below the picture's own edge."""
    side = FACE * random.uniform(1.45, 2.9)
    nose = figure.landmarks[NOSE].mean(0)
    x, y = nose + side * np.array([random.uniform(-0.1, 0.1), random.uniform(-0.06, 0.14)])
    lowest = figure.inner[3] + 0.12 * (figure.inner[3] - figure.inner[1])
    y = min(y, lowest - side / 2)
    if nose[1] - y > 0.16 * side:  # the nose would lie too low: a tighter frame
        y = nose[1] - 0.14 * side
        side = max(min(side, 2 * (lowest - y)), 1.3 * FACE)
        y = min(y, lowest - side / 2)
    return np.array([x, y]), float(side)


def _tissue(random: np.random.Generator, figure: Figure) -> np.ndarray:
    """Colours of socket, gums and tongue, upper and lower teeth: as bright as the skin is, no two mouths alike."""
    bright = np.clip(figure.light / 0.62, 0.45, 1.15)
    socket = np.array([0.30, 0.11, 0.10]) * random.uniform(0.3, 1.1)
    gums = np.array([0.60, 0.33, 0.32]) * random.uniform(0.6, 1.1) * (1 + random.normal(0, 0.06, 3))
    teeth = np.array([0.90, 0.85, 0.78]) * random.uniform(0.75, 1.05) * np.array([1, 1, random.uniform(0.85, 1.08)])
    colours = np.stack([socket, gums, teeth, teeth * random.uniform(0.7, 0.95)]) * bright
    if figure.teeth is not None:
        colours[2:] = figure.teeth * np.array([[1.04], [0.92]])
    return np.repeat(colours.mean(1, keepdims=True), 3, 1) if figure.grey else colours.clip(0, 1)


def _background(random: np.random.Generator, side: int, others: Others) -> np.ndarray | None:
    kind = random.random()
    if kind < 0.35:
        return None
    found = scenery.piece(random, side, others(random)) if kind < 0.65 else None
    return scenery.collage(random, side) if found is None else found


def draw_clip(figure: Figure, acting: Acting, scene: Scene, size: int) -> np.ndarray:
    """uint8 (frames, size, size, 3)."""
    stage = Stage(figure, scene.look, size)
    drawn = stage.frames(expressions(acting, figure.rest, scene.kept), acting.motion)
    film = np.stack([_shrink(_compose(figure, scene, layer, t)) for t, layer in enumerate(drawn)])
    film = (film * scene.gain).clip(0, 1) ** scene.gamma
    shade = (film @ LUMA)[..., None]
    film = (shade + (film - shade) * scene.saturation).clip(0, 1)
    film = (film * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(film[:, :, ::-1] if scene.mirrored else film)


def _compose(figure: Figure, scene: Scene, layer: np.ndarray, t: int) -> np.ndarray:
    side, look = len(layer), scene.look
    x, y, zoom = look.camera[t]
    at = (np.arange(side) + 0.5) / side - 0.5
    if scene.background is None:
        width = look.side * (1 + zoom)
        across, down = look.middle[0] + x * look.side + at * width, look.middle[1] + y * look.side + at * width
        behind = images.sample(figure.backdrop, *np.meshgrid(across, down))
    elif x or y or zoom:
        across, down = ((shift + at * (1 + zoom) + 0.5) * side - 0.5 for shift in (x, y))
        behind = images.sample(scene.background, *np.meshgrid(across, down))
    else:
        behind = scene.background
    return behind + (layer[..., :3] - behind) * layer[..., 3:]


def _shrink(image: np.ndarray) -> np.ndarray:
    side = len(image) // 2
    return image.reshape(side, 2, side, 2, 3).mean((1, 3))


def part_boxes(figure: Figure, acting: Acting, scene: Scene, size: int) -> np.ndarray:
    """Where both eyes (of the drawn picture, left first) and the mouth are: int64 (frames, 3, 4).

    left, top, right, bottom in pixels, right and bottom excluded, with room for what they do
    """
    stage = Stage(figure, scene.look, size)
    found = np.zeros((len(acting), 3, 4), np.int64)
    for t in range(len(acting)):
        for row, (part, up, down) in enumerate(((EYES[0], 0.09, 0.05), (EYES[1], 0.09, 0.05), (LIPS, 0.04, 0.22))):
            points = stage.place(figure.landmarks[part], acting.motion, t) / 2
            low, high = points.min(0), points.max(0)
            unit = FACE * size / scene.look.side
            low, high = low - unit * np.array([0.04, up]), high + unit * np.array([0.04, down])
            if scene.mirrored:
                low[0], high[0] = size - high[0], size - low[0]
            low = np.floor(low).clip(0, size - 1)
            found[t, row] = [*low, *np.maximum(np.ceil(high).clip(1, size), low + 1)]
        if scene.mirrored:
            found[t, :2] = found[t, 1::-1]
    return found

"""What of a picture is its subject, by the network that moves it: whatever goes along when all points of its pose do.

If the points of the driving pose lie d further than the source's and nothing else differs, each candidate of the dense
motion looks at z - d, but for the first, the background, which stands still. So the flow is z - (1 - b) d, b the
background's share, and every engine with a flow tells it, of any family and of any pose that has points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fomm_cli.animate.compose import Map, displacement, enlarge, whole
from fomm_cli.animate.scene import Scene, check_flow
from fomm_cli.boxes import Box
from fomm_cli.errors import FommError
from fomm_cli.media.cutout import Alpha, bled
from fomm_cli.media.image import crop, fit
from fomm_cli.model.pose import joined

MOTION = "motion"
"""The name of this mask among those of networks that tell subject from background."""

STEP = 1 / 16
"""Share of the picture's side by which points are moved: less and the network hesitates, more and it has seen less."""
GUIDE, REACH, SMOOTH = 256, 1 / 16, 1e-3
"""The outline follows the picture at this shorter side, within this share of it, where its colours (in [0, 1], squared)
differ by more than this."""
MIDDLE, SOFT = 0.68, 0.3
"""The outline runs where so much goes along: a flow of coarse cells takes some background with it. It is soft over so
much."""
_STRIP = 2**20  # pixels


def cut_out(scenes: Sequence[Scene], bleed: bool = True) -> None:
    """Give scenes of one picture the transparency that their own network finds.

    bleed  whether colours go on beyond the subject, as in `read_cutout`
    Raises FommError where there is no flow, and where nothing moves.
    """
    alpha = subject(scenes)
    picture = bled(scenes[0].picture, alpha) if bleed else scenes[0].picture
    for scene in scenes:
        scene.cut_out(picture, alpha)


def subject(scenes: Sequence[Scene]) -> Alpha:
    """How much of each pixel of their picture belongs to what moves in one of them; nothing beyond their boxes."""
    picture = scenes[0].picture
    alpha = np.zeros(picture.shape[:2], np.uint8)
    for scene in scenes:
        check_flow(scene.runner.engine, scene.turned, "--matte motion")
        height, width = scene.box.height, scene.box.width
        factor = GUIDE / min(height, width)
        size = max(8, round(height * factor)), max(8, round(width * factor))
        slope, level = fitted(whole(going(scene), size), fit(picture, size, scene.box) / 255)
        _draw(alpha, picture, scene.box, [*np.moveaxis(slope, -1, 0), level])
    if alpha.max() < 128:
        raise FommError("These weights see nothing in the picture that could move.", "Make a mask: --mask FILE.")
    return alpha


def going(scene: Scene) -> Map:
    """How far each cell (h, w) of the flow goes along with the pose, in [0, 1]: 1 - b, of four directions the mean."""
    engine, pose = scene.runner.engine, scene.pose
    assert engine.motion_size is not None
    height, width = engine.motion_size
    down, across = max(1, round(STEP * height)), max(1, round(STEP * width))
    steps = [(0, across), (0, -across), (down, 0), (-down, 0)]
    away = np.array([[2 * x / (width - 1), 2 * y / (height - 1)] for y, x in steps], np.float32)
    moved = joined([pose] * len(steps))
    moved = moved._replace(value=moved.value + away[:, None])
    total, count = np.zeros((2, height, width), np.float32)
    drawn = scene.runner.parts(engine.encode(scene.source), pose, moved)
    for (y, x), part in zip(steps, drawn, strict=True):
        assert part.flow is not None
        share = displacement(part.flow) @ np.array([-x, -y], np.float32) / (x * x + y * y)
        here, there = _overlap(height, width, -y, -x), _overlap(height, width, y, x)
        total[here] += share[there]  # what lies here came out there
        count[here] += 1
    return np.clip(total / count, 0, 1)


def fitted(share: Map, guide: NDArray[np.floating]) -> tuple[Map, Map]:
    """A map (h, w) as a function of colours (h, w, 3) that is linear near each place: slopes (h, w, 3) and levels.

    So what is coarse gets the outlines of the picture: the guided filter of He, Sun and Tang (ECCV 2010).
    """
    reach = max(1, round(REACH * min(share.shape)))
    colour, mean = _mean(guide, reach), _mean(share, reach)
    together = _mean(guide * share[..., None], reach) - colour * mean[..., None]
    spread = _mean(guide[..., :, None] * guide[..., None, :], reach) - colour[..., :, None] * colour[..., None, :]
    slope = np.linalg.solve(spread + SMOOTH * np.eye(3), together[..., None])[..., 0]
    level = mean - (slope * colour).sum(axis=-1)
    return _mean(slope, reach).astype(np.float32), _mean(level, reach).astype(np.float32)


def _mean(values: NDArray[np.floating], reach: int) -> NDArray[np.float64]:
    """Over squares of 2 reach + 1 cells; edges go on."""
    side = 2 * reach + 1
    padding = [(reach + 1, reach)] * 2 + [(0, 0)] * (values.ndim - 2)
    sums = np.pad(values.astype(np.float64), padding, mode="edge").cumsum(axis=0).cumsum(axis=1)
    return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2


def _overlap(height: int, width: int, down: int, across: int) -> tuple[slice, slice]:
    """The cells that stay within a map if it is moved, by where they come to lie."""
    return (
        slice(max(0, down), height + min(0, down)),
        slice(max(0, across), width + min(0, across)),
    )


def _draw(alpha: Alpha, picture: NDArray[np.uint8], box: Box, maps: Sequence[Map]) -> None:
    """Add to a mask what three slopes and a level make of the colours in a box, by strips of rows."""
    height, width = picture.shape[:2]
    left, right = max(box.left, 0), min(box.left + box.width, width)
    columns = slice(left - box.left, right - box.left)
    count = max(1, _STRIP // (right - left))
    for top in range(max(box.top, 0), min(box.top + box.height, height), count):
        bottom = min(top + count, box.top + box.height, height)
        colours = crop(picture, Box(left, top, right - left, bottom - top)) / np.float32(255)
        span = slice(top - box.top, bottom - box.top), columns
        *slopes, share = (enlarge(values, (box.height, box.width), span) for values in maps)
        for channel, slope in enumerate(slopes):
            share += slope * colours[..., channel]
        found = np.clip((share - MIDDLE) / SOFT + 0.5, 0, 1) * 255
        place = alpha[top:bottom, left:right]
        np.maximum(place, np.rint(found).astype(np.uint8), out=place)

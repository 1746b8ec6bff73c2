"""What whole pictures promise, by the bundled weights on the bundled portrait and clip: no ghosts, detail."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from fomm_cli.animate.compose import Part
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import Paste
from fomm_cli.animate.whole import Whole
from fomm_cli.boxes import Box
from fomm_cli.engine.choose import make_engine
from fomm_cli.files.disk import ASSETS
from fomm_cli.media.image import Frame, fit, read_image
from fomm_cli.media.video import read_frames
from fomm_cli.model.pose import pick
from fomm_cli.weights.load import load_model

BOX = Box(46, 60, 420, 420)
"""Of the portrait: its lower side cuts the shoulders."""
MIDDLE = (slice(84, 336), slice(84, 336))
"""Of the box: three fifths of its sides."""


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(make_engine(load_model("toon-128", device="cpu"), "fused"))


@pytest.fixture(scope="module")
def portrait() -> Frame:
    return read_image(ASSETS / "portrait.png")


def within(picture: Frame) -> np.ndarray:
    """The box of a picture, as numbers."""
    return picture[BOX.top : BOX.top + BOX.height, BOX.left : BOX.left + BOX.width].astype(float)


def drawn(whole: Whole, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """What is put back, before it fades, and its weight."""
    strips = [(values.copy(), weight) for _, values, weight in whole.patches[0].strips(part)]
    return np.concatenate([values for values, _ in strips]), np.concatenate([weight for _, weight in strips])


def test_no_ghost_where_it_fades_and_the_middle_is_free(runner: Runner, portrait: Frame) -> None:
    frames = [fit(frame, runner.engine.size) for frame in islice(read_frames(ASSETS / "driving.mp4"), 0, 37, 12)]
    driving = runner.detect(frames)
    ghosts: dict[float, float] = {}
    middles: dict[float, np.ndarray] = {}
    for pin in (0.0, 0.2):
        whole = Whole([Scene(runner, portrait, BOX)], Paste(pin=pin))
        scene = whole.faces[0]
        parts = list(scene.draw(scene.transfer(driving, pick(driving, slice(1)), "relative", True)))
        assert np.abs(whole.compose(parts[:1]).astype(int) - portrait).max() <= 3  # driven by its anchor
        made = [drawn(whole, part) for part in parts]
        fading = [4 * weight * (1 - weight) for _, weight in made]
        apart = [np.abs(values - within(portrait)).mean(axis=2) for values, _ in made]
        ghosts[pin] = float(np.percentile([(f * d)[f > 0] for f, d in zip(fading, apart, strict=True)], 99))
        middles[pin] = np.stack([values[MIDDLE] for values, _ in made])
    assert ghosts[0.2] < 8 < ghosts[0.0]
    assert np.abs(middles[0.2] - middles[0.0]).mean() < 0.2


def turned(picture: Frame, degrees: float, scale: float) -> Frame:
    """Turned and scaled about the middle of the box."""
    x, y = BOX.left + BOX.width / 2, BOX.top + BOX.height / 2
    cosine, sine = np.cos(np.deg2rad(degrees)) / scale, np.sin(np.deg2rad(degrees)) / scale
    matrix = (cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y)
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    return np.asarray(image.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))


def test_known_turns_keep_the_detail_of_the_truth(runner: Runner, portrait: Frame) -> None:
    truths = [turned(portrait, *each) for each in ((-8, 1.0), (-3, 1.05), (5, 0.95), (8, 1.0))]
    poses = runner.detect([fit(truth, runner.engine.size, BOX) for truth in truths])
    wanted = [within(truth)[MIDDLE] for truth in truths]
    kept, errors = {}, {}
    for detail in (0.0, 1.0):
        scene = Scene(runner, portrait, BOX, frames="source", detail=detail)
        frames = [scene.compose([part])[MIDDLE].astype(float) for part in scene.draw(poses)]
        kept[detail] = sum(map(sharpness, frames)) / sum(map(sharpness, wanted))
        errors[detail] = np.mean([np.abs(frame - truth).mean() for frame, truth in zip(frames, wanted, strict=True)])
    assert kept[1.0] > 0.85 > kept[0.0]
    assert errors[1.0] < errors[0.0]


def sharpness(frame: np.ndarray) -> float:
    """Mean distance to a 5 x 5 mean."""
    grey = frame.mean(axis=2)
    padded = np.pad(grey, 2, mode="edge")
    height, width = grey.shape
    mean = sum(padded[i : i + height, j : j + width] for i in range(5) for j in range(5)) / 25
    return float(np.abs(grey - mean).mean())

"""Masks by motion: what goes along with the pose, of any family and engine, with the picture's own outline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomm_cli.animate.animator import Animator
from fomm_cli.animate.clip import animate_clip
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import Output, Paste, Settings
from fomm_cli.animate.subject import fitted, going, subject
from fomm_cli.boxes import Box
from fomm_cli.data.toon import draw, sample_identity, sample_motion, scenery
from fomm_cli.engine.base import Parts
from fomm_cli.engine.choose import make_engine
from fomm_cli.engine.fused import FusedEngine
from fomm_cli.engine.onnx import OnnxEngine
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.export.export import export
from fomm_cli.media.image import write_image
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.weights.load import load_model
from tests import live_portrait
from tests.engines import GreyEngine, tiny_config, tiny_model
from tests.test_anatomy import WAYS, network
from tests.test_compose import identity, picture

Y, X = np.mgrid[:96, :96]
DISC = np.hypot(X - 40, Y - 52) < 26


class DiscEngine(GreyEngine):
    """Moves a disc with its points, before a background that stands still."""

    def __init__(self, there: bool = True) -> None:
        super().__init__()
        self.motion_size, self.there = (32, 32), there

    def parts(self, encoded: Any, source: Any, driving: Any, taper: Any = None) -> Parts:
        shift = (driving.value - source.value).mean(axis=1)
        place = identity(32, 32)
        flow = []
        for x, y in shift:
            at = (place - (x, y) + 1) / 2 * 96  # in the picture below, which is three times as large
            on = np.hypot(at[..., 0] - 40.5, at[..., 1] - 52.5) < 26
            flow.append(place - (on & self.there)[..., None] * np.array([x, y]))
        flow = np.stack(flow).astype(np.float32)
        frames = self.render(encoded, source, driving)
        return Parts(frames, None, flow, np.ones(flow.shape[:3], np.float32))


def disc() -> np.ndarray:
    """An orange disc before blue noise."""
    grain = np.random.default_rng(0).integers(-20, 20, (96, 96, 1))
    return (np.where(DISC[..., None], (220, 140, 40), (60, 90, 170)) + grain).astype(np.uint8)


def shared(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def test_the_mask_has_the_outline_of_the_picture() -> None:
    alpha = subject([Scene(Runner(DiscEngine()), disc())])
    assert alpha.shape == (96, 96)
    assert shared(alpha > 127, DISC) > 0.97
    coarse = np.kron(going(Scene(Runner(DiscEngine()), disc())), np.ones((3, 3))) > 0.5
    assert shared(coarse, DISC) < shared(alpha > 127, DISC)


def test_beyond_the_boxes_and_where_nothing_moves() -> None:
    wide = np.pad(disc(), ((0, 0), (0, 60), (0, 0)), mode="edge")
    alpha = subject([Scene(Runner(DiscEngine()), wide, Box(-8, 0, 96, 96))])
    assert not alpha[:, 90:].any()
    assert alpha[52, 32] == 255  # the disc of this engine lies 8 px to the left of the picture's
    with pytest.raises(FommError, match="see nothing in the picture that could move"):
        subject([Scene(Runner(DiscEngine(there=False)), disc())])
    with pytest.raises(FommError, match="gives no flow"):
        subject([Scene(Runner(GreyEngine()), disc())])


def test_a_map_that_is_linear_in_the_colours_is_itself() -> None:
    guide = picture(40, 48) / 255
    share = (guide @ np.array([0.2, 0.5, -0.3]) + 0.1).astype(np.float32)
    slope, level = fitted(share, guide)
    np.testing.assert_allclose((slope * guide).sum(axis=2) + level, share, atol=0.05)


@pytest.mark.parametrize("preset", list(WAYS))
def test_the_flow_tells_the_share_of_the_background(preset: str) -> None:
    """The dense motion's candidate 0 of every family, by the flow alone."""
    model = network(preset)
    scene = Scene(Runner(PlainEngine(model)), picture(64, 64))
    height, width = model.motion_size
    down, across = max(1, round(height / 16)), max(1, round(width / 16))
    image = to_tensor(scene.source[None], "cpu")
    pose = model.detect(image)
    inside = np.s_[down:-down, across:-across]
    found = []
    for y, x in ((0, across), (0, -across), (down, 0), (-down, 0)):
        step = torch.tensor([2 * x / (width - 1), 2 * y / (height - 1)])
        mask = model.render(model.encode(image), pose, pose._replace(value=pose.value + step)).motion.mask
        found.append(np.roll(1 - mask[0, 0].numpy(), (-y, -x), axis=(0, 1)))
    nearly = 0.02 if preset.startswith("tps") else 1e-3  # the splines of points that lie together are no exact shifts
    np.testing.assert_allclose(going(scene)[inside], np.mean(found, axis=0)[inside], atol=nearly)


def test_engines_agree(tmp_path: Path) -> None:
    export(tiny_model(), tiny_config(), tmp_path / "new")
    engines = [PlainEngine(tiny_model()), FusedEngine(tiny_model()), OnnxEngine(tmp_path / "new")]
    first, *others = [going(Scene(Runner(engine), picture(32, 32))) for engine in engines]
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-3)
    card = json.loads((tmp_path / "new" / "export.json").read_text())
    card["version"], card["motion_size"] = 1, None  # as exports were before they gave the flow
    (tmp_path / "new" / "export.json").write_text(json.dumps(card))
    with pytest.raises(FommError, match="export it again"):
        subject([Scene(Runner(OnnxEngine(tmp_path / "new")), picture(32, 32))])


def test_a_family_without_a_flow_is_refused_by_name() -> None:
    with pytest.raises(FommError, match=r"LivePortrait, run by .* gives no flow"):
        Animator(live_portrait.model(), picture(64, 64), matte="motion")


@pytest.fixture(scope="module")
def toon() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cartoon face, its true outline, and the same person five frames later."""
    who, motion = sample_identity(5, 1, start=0, held_out=True), sample_motion(5, 6, rate=3.0, held_out=True)[0]
    lit = []
    with pytest.MonkeyPatch.context() as patch:
        for level in (0.0, 1.0):
            patch.setattr(scenery, "background", lambda identity, canvas, level=level: canvas.image.fill_(level))
            lit.append(draw(who, motion[:1], 256)[0].mean(dim=0).numpy())
    first, *_, last = to_frames(draw(who, motion, 256))
    return first, lit[1] - lit[0] < 0.5, last


@pytest.mark.parametrize("engine", ["plain", "fused"])
def test_the_bundled_weights_cut_out_a_toon(toon: Any, engine: str) -> None:
    first, truth, last = toon
    animator = Animator(make_engine(load_model("toon-128", device="cpu"), engine), first, size="source", matte="motion")
    at_rest, moved = animator.frames([first, last])
    assert at_rest.shape == moved.shape == (256, 256, 4)
    assert shared(at_rest[..., 3] > 127, truth) > 0.95
    assert np.abs(moved[..., 3].astype(int) - at_rest[..., 3]).mean() > 2


def test_from_files(toon: Any, tmp_path: Path) -> None:
    first, truth, last = toon
    write_image(tmp_path / "toon.png", first)
    (tmp_path / "clip").mkdir()
    for name, frame in (("a", first), ("b", last)):
        write_image(tmp_path / "clip" / f"{name}.png", frame)
    engine = make_engine(load_model("toon-128", device="cpu"))
    settings = {"anchor": "first", "matte": "motion", "crop_source": "center", "crop_driving": "center"}

    def made(name: str, **more: Any) -> list[np.ndarray]:
        asked: Any = settings | more
        animate_clip(engine, tmp_path / "toon.png", tmp_path / "clip", [Output(tmp_path / name)], Settings(**asked))
        return [np.asarray(Image.open(path)) for path in sorted((tmp_path / name).glob("*.png"))]

    green = made("green", background="#00ff00", size="source")
    assert all((frame[:20, :20] == (0, 255, 0)).all() for frame in green)
    whole = made("frozen", background="freeze", crop_source="auto", paste=Paste(("0,0,256,256",)))
    assert not truth[:60, :30].any()
    for frame in whole:
        np.testing.assert_array_equal(frame[:60, :30], first[:60, :30])
    with pytest.raises(FommError, match="what is background is not known") as refused:
        made("none", background="alpha", matte=None)
    assert "--matte motion" in refused.value.hint


def test_python_takes_masks_too() -> None:
    mask = np.where(np.hypot(*np.mgrid[-32:32, -32:32]) < 20, 255, 0).astype(np.uint8)
    source = picture(64, 64)
    animator = Animator(tiny_model(), source, size="source", matte=mask)
    frame = next(iter(animator.frames([source])))
    assert np.abs(frame[..., 3].astype(int) - mask).mean() < 2
    with pytest.raises(FommError, match="of one size"):
        Animator(tiny_model(), source, matte=mask[:32])

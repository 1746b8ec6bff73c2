"""Frames larger than the network's: the formulas, the identity, every engine, the command."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fomm_cli.animate import compose
from fomm_cli.animate.animator import Animator
from fomm_cli.animate.compose import Enlarger, Part, displacement, doubled, enlarge, looker, resized
from fomm_cli.commands.app import main
from fomm_cli.engine.fused import FusedEngine
from fomm_cli.engine.onnx import OnnxEngine
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.export.export import export
from fomm_cli.media.image import fit, read_image, write_image
from fomm_cli.model.geometry import coordinate_grid
from tests.engines import GreyEngine, tiny_config, tiny_model


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise that is smooth at some pixels, so that a shift shows."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return resized(noise, (height, width)).copy()


def identity(height: int, width: int) -> np.ndarray:
    return coordinate_grid(height, width, torch.zeros(1)).numpy()


@pytest.mark.parametrize("blend", [True, False])
def test_a_flow_that_moves_nothing_gives_the_picture(blend: bool) -> None:
    full, drawn = picture(96, 128), picture(48, 64, 1)  # whatever the network makes of it
    occlusion = np.random.default_rng(2).random((24, 32)).astype(np.float32)
    part = Part(drawn, picture(48, 64, 3) if blend else None, identity(24, 32), occlusion)
    np.testing.assert_array_equal(Enlarger(full, part, (96, 128))(part), full)
    alone = Enlarger(full, part, (96, 128), detail=0)(part)
    np.testing.assert_array_equal(alone, resized(drawn, (96, 128)))


def test_a_flow_of_whole_pixels_moves_the_picture() -> None:
    full = picture(96, 128)
    flow = identity(24, 32)
    flow[..., 0] += 2 * 2 / 31  # two cells, eight pixels to the right
    small, ones = np.zeros((48, 64, 3), np.uint8), np.ones((24, 32), np.float32)
    moved = Enlarger(full, Part(small, small, identity(24, 32), ones), (96, 128))(Part(small, small, flow, ones))
    assert np.abs(moved[:, :120].astype(int) - full[:, 8:]).max() <= 1


def test_the_blend_is_the_one_formula() -> None:
    full, small = picture(64, 64), picture(32, 32, 1)
    occlusion = np.random.default_rng(2).random((16, 16)).astype(np.float32)
    rest = Part(255 - small, small, identity(16, 16), occlusion)  # they agree nowhere: occlusion alone is left
    made = Enlarger(full, rest, (64, 64))(Part(small, small, identity(16, 16), occlusion))
    share = torch.from_numpy(occlusion)[None, None]
    for size in (32, 64):
        share = torch.nn.functional.interpolate(share, size=(size, size), mode="bilinear")
    keep = share[0, 0, ..., None].numpy()
    expected = keep * full + (1 - keep) * resized(small, (64, 64))
    assert np.abs(made - expected)[np.abs(2 * resized(small, (64, 64)).astype(int) - 255).min(axis=2) > 40].max() <= 1


def test_detail_stays_away_where_network_and_source_disagree() -> None:
    full = picture(64, 64)
    small = fit(full, (32, 32))
    drawn = small.copy()
    drawn[8:20, 8:20] = (small[8:20, 8:20].astype(int) + 128) % 256  # an opened mouth
    made = Enlarger(full, Part(small, None, identity(16, 16)), (64, 64))(Part(drawn, None, identity(16, 16)))
    np.testing.assert_allclose(made[24:32, 24:32], resized(drawn, (64, 64))[24:32, 24:32], atol=2)
    assert np.abs(made[48:].astype(int) - full[48:]).max() <= 1


def test_maps_enlarge_as_torch_does_and_in_strips() -> None:
    values = np.random.default_rng(0).random((7, 9)).astype(np.float32)
    whole = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size=(31, 40), mode="bilinear")
    strips = [enlarge(values, (31, 40), (slice(top, top + 8), slice(None))) for top in range(0, 31, 8)]
    np.testing.assert_allclose(np.concatenate(strips), whole[0, 0].numpy(), atol=1e-5)
    assert np.abs(displacement(identity(7, 9))).max() < 1e-5


@pytest.mark.parametrize("kept", [2**23, 1])
def test_looking_is_the_same_without_torch(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(compose, "_KEPT", kept)
    full, rng = np.dstack([picture(20, 30), picture(20, 30, 1)[..., 0]]), np.random.default_rng(0)
    x, y = (rng.uniform(-3, side + 2, (8, 9)).astype(np.float32) for side in (30, 20))
    with_torch = looker(full)(x, y)
    monkeypatch.delitem(sys.modules, "torch")
    for channels in (3, 4):
        np.testing.assert_allclose(looker(full[..., :channels])(x, y), with_torch[..., :channels], atol=0.01)
    right = np.full((2, 2), 29, np.float32), np.full((2, 2), 19, np.float32)
    np.testing.assert_array_equal(looker(full)(*right)[0, 0], full[19, 29])


def test_between_pixels_small_pictures_keep_their_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[:32, :48].astype(np.float32)

    def wave(x: np.ndarray) -> np.ndarray:
        return np.repeat(np.rint(128 + 90 * np.sin(x * 0.8))[..., None], 3, axis=2)

    full = wave(x).astype(np.uint8)
    inner = slice(4, -4), slice(4, -4)
    small = looker(full)(x + 0.5, y)[inner]
    np.testing.assert_allclose(looker(full)(x, y), full, atol=1e-3)
    monkeypatch.setattr(compose, "_KEPT", 32 * 48)
    large = looker(full)(x + 0.5, y)[inner]
    truth = wave(x + 0.5)[inner]
    assert np.abs(small - truth).mean() < 0.3 * np.abs(large - truth).mean()
    np.testing.assert_array_equal(doubled(full, 1)[:, ::2], full)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp("export") / "tiny"
    export(tiny_model(), tiny_config(), folder)
    return [PlainEngine(tiny_model()), FusedEngine(tiny_model()), OnnxEngine(folder)]


def test_engines_agree_on_parts_and_tapers(engines: list) -> None:
    frames = np.stack([picture(32, 32, seed) for seed in range(3)])
    taper = np.random.default_rng(0).random(engines[0].motion_size).astype(np.float32)
    for given in (None, taper, np.zeros_like(taper)):
        made = []
        for engine in engines:
            source, driving = engine.detect(frames[:1]), engine.detect(frames)
            encoded = engine.encode(frames[0])
            made.append(engine.parts(encoded, source, driving, given))
            if given is None:
                np.testing.assert_array_equal(made[-1].frames, engine.render(encoded, source, driving))
        for other in made[1:]:
            assert np.abs(other.frames.astype(int) - made[0].frames).max() <= 1
            assert np.abs(other.decoded.astype(int) - made[0].decoded).max() <= 1
            np.testing.assert_allclose(other.flow, made[0].flow, atol=1e-4)
            np.testing.assert_allclose(other.occlusion, made[0].occlusion, atol=1e-4)
    np.testing.assert_allclose(made[0].flow[0], identity(*engines[0].motion_size), atol=1e-6)
    assert made[0].occlusion.min() == 1


def test_animator_sizes(engines: list) -> None:
    source, driving = picture(96, 128), [picture(32, 32, seed) for seed in range(3)]
    own = [np.stack(list(Animator(engines[0], source, size=size).frames(driving))) for size in (None, 32)]
    np.testing.assert_array_equal(*own)  # the network's own size is the plain path, bit for bit
    for size, side in ((64, 64), ("source", 96), (8, 32)):
        shapes = {f.shape for f in Animator(engines[1], source, size=size).frames(driving)}
        assert shapes == {(side, side, 3)}
    with pytest.raises(FommError, match="no flow"):
        Animator(GreyEngine(), source, size=64)


def test_the_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "source.png", picture(96, 128))
    (tmp_path / "driving").mkdir()
    for number in range(2):
        write_image(tmp_path / "driving" / f"{number}.png", picture(32, 32, number))
    line = ["animate", str(tmp_path / "source.png"), str(tmp_path / "driving"), "--weights", str(tiny)]
    assert main([*line, "-o", str(tmp_path / "out"), "--size", "source", "--layout", "side-by-side"]) == 0
    assert read_image(tmp_path / "out" / "000001.png").shape == (96, 3 * 96, 3)
    assert main([*line, "-o", str(tmp_path / "x"), "--size", "huge"]) == 2
    assert "no size" in capsys.readouterr().err

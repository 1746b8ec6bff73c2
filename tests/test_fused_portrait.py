"""The quick LivePortrait gives the plain one's numbers, and so do its convolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fomm_cli.engine.fused_portrait import Enlarged, FusedPortrait, VolumeDoubling
from fomm_cli.engine.tiles import Tiled
from fomm_cli.model.pose import pick
from tests import live_portrait as lp


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("tile", "taps"), [(4, 3), (6, 3), (4, 7)])
@pytest.mark.parametrize("shape", [(2, 5, 13, 18), (1, 4, 6, 9, 11)])
def test_tiles_are_convolutions(tile: int, taps: int, shape: tuple[int, ...]) -> None:
    volume = len(shape) == 5
    weight = random(7, shape[1], *[taps] * (len(shape) - 2)) / taps ** (1.5 if volume else 1)
    bias, x = random(7, seed=1), random(*shape, seed=2)
    layout = torch.channels_last_3d if volume else torch.channels_last
    found = Tiled(weight, bias, tile, relu=True)(x.contiguous(memory_format=layout))
    conv = F.conv3d if volume else F.conv2d
    expected = conv(x.double(), weight.double(), bias.double(), padding=taps // 2).relu()
    assert found.shape == expected.shape
    assert (found - expected).square().mean().sqrt() < 1e-5 * expected.square().mean().sqrt() * (10 if taps > 3 else 1)


@pytest.mark.parametrize("factor", [2, 4])
def test_phases_are_enlarged_convolutions(factor: int) -> None:
    weight, bias, x = random(6, 4, 3, 3), random(6, seed=1), random(2, 4, 5, 7, seed=2)
    found = Enlarged(weight.double(), bias.double(), torch.empty(0), factor)(x)
    expected = F.conv2d(F.interpolate(x, scale_factor=factor, mode="nearest"), weight, bias, padding=1).relu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("phases", [False, True])
def test_volumes_double_within_their_slices(phases: bool) -> None:
    weight, bias, x = random(6, 4, 3, 3, 3), random(6, seed=1), random(2, 4, 3, 5, 7, seed=2)
    found = VolumeDoubling(weight.double(), bias.double(), torch.empty(0), phases)(x)
    expected = F.conv3d(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"), weight, bias, padding=1).relu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "precision", "psnr"),
    [
        ("tiny", torch.float32, 90),
        ("tiny", torch.bfloat16, 45),
        pytest.param("full", torch.float32, 90, marks=pytest.mark.full),
    ],
)
@torch.inference_mode()
def test_quick_is_plain(size: str, precision: torch.dtype, psnr: float) -> None:
    model, given = lp.model(size), lp.inputs(size)
    quick = FusedPortrait(model, precision)
    images = torch.cat([given["driving0"], given["driving1"]])
    driving, source = quick.detect(images), quick.detect(given["source"])
    for ours, theirs in zip(driving, model.detect(images), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    plain = model.render(model.encode(given["source"]), source, driving).prediction
    found = quick.render(quick.encode(given["source"]), source, driving)
    assert found.shape == plain.shape
    assert found.dtype == torch.float32
    assert -10 * (found - plain).square().mean().log10() > psnr
    one = pick(driving, slice(1, None))
    alone = quick.render(quick.encode(given["source"]), source, one)
    torch.testing.assert_close(alone, found[1:], atol=1e-5 if precision == torch.float32 else 1e-2, rtol=0)

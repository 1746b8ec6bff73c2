"""The fused network computes what the plain one does; each rewriting alone is exact up to rounding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from fomm_cli.bench.stand_in import clip, lively
from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.engine import layers
from fomm_cli.engine import winograd as bottleneck
from fomm_cli.engine.fused_network import FusedNetwork
from fomm_cli.engine.layers import Conv, Doubling, Head, MeanHead, Phases, gather, packs, rows
from fomm_cli.engine.winograd import Scratch, Transforms, Winograd, WinogradBottleneck, best_tile, gains
from fomm_cli.model.blocks import ResBlock, UpBlock
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.geometry import warp
from fomm_cli.model.pose import mapped
from tests.golden import VARIANTS, golden_model

ROUNDING = {tile: {"rtol": 1e-4, "atol": 1e-4} for tile in (4, 6)} | {8: {"rtol": 1e-3, "atol": 5e-4}}  # 8: bf16's own
PACKED = [False, True] if packs(torch.zeros(())) else [False]


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * (one - other).square().mean().log10())


def compare(model: FirstOrderModel, source: Tensor, driving: Tensor, network: FusedNetwork) -> None:
    """The gate: keypoints within 0.01 px; in fp32 every 8-bit value within 1, in bf16 50 dB."""
    with torch.inference_mode():
        kp_source, kp_driving = model.detect(source), model.detect(driving)
        truth = model.render(model.encode(source), kp_source, kp_driving)
        assert truth.prediction.std() > 0.05, "a picture without contrast hides errors"
        own_source, own_driving = network.detect(source), network.detect(driving)
        made = network.render(network.encode(source), own_source, own_driving)
    pixels = max(source.shape[2:]) / 2
    assert (own_driving.value - kp_driving.value).abs().max() * pixels < 0.01
    assert (own_driving.jacobian is None) == (kp_driving.jacobian is None)
    if own_driving.jacobian is not None and kp_driving.jacobian is not None:
        torch.testing.assert_close(own_driving.jacobian, kp_driving.jacobian, rtol=1e-4, atol=1e-4)
    assert made.prediction.shape == truth.prediction.shape
    assert made.prediction.dtype == torch.float32
    if network.precision == torch.float32:
        levels = (made.prediction * 255).round() - (truth.prediction * 255).round()
        assert levels.abs().max() <= 1
        assert psnr(made.prediction, truth.prediction) > 90
    else:
        assert psnr(made.prediction, truth.prediction) >= 50


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_plain_for_every_golden_variant(golden: Path, variant: str, align_corners: bool) -> None:
    model = golden_model(golden, variant, align_corners)
    tensors = load_file(golden / f"{variant}.safetensors")
    for precision in (torch.float32, torch.bfloat16):
        for packed in PACKED:
            network = FusedNetwork(model, precision=precision, packed=packed)
            compare(model, tensors["input.source"], tensors["input.driving"], network)


@pytest.mark.parametrize("preset", ["toon-128", "vox-256", "taichi-256", "mgif-256"])
def test_equals_plain_for_each_layout_of_the_presets(preset: str) -> None:
    """The presets' structure at an eighth of their width, with a bottleneck wide enough for Winograd's form."""
    config = configs.load(preset)
    model = config.model
    narrow = {
        "detector": model.detector.model_copy(update={"block_expansion": 8, "max_features": 32}),
        "dense_motion": model.dense_motion.model_copy(update={"block_expansion": 8, "max_features": 32}),
        "generator": model.generator.model_copy(
            update={"block_expansion": 32, "max_features": 128, "num_bottleneck_blocks": 2}
        ),
    }
    config = config.model_copy(
        update={
            "model": model.model_copy(update=narrow),
            "data": config.data.model_copy(update={"frame_shape": (128, 128)}),
        }
    )
    network = lively(config)
    frames = torch.from_numpy(clip((128, 128), 2)).permute(0, 3, 1, 2).float() / 255
    for precision in (torch.float32, torch.bfloat16):
        fused = FusedNetwork(network, precision=precision)
        assert (fused.winograd is not None) == fused.packed
        compare(network, frames[:1], frames[1:], fused)


def test_presets_covered_are_the_distinct_layouts() -> None:
    """Every preset has the layout (but for widths, keypoints and depth) of one that is compared above."""

    def layout(name: str) -> tuple[object, ...]:
        model = configs.load(name).model
        return (
            model.family,
            model.estimate_jacobian,
            model.detector.single_jacobian_map,
            model.generator.skip,
            model.generator.estimate_occlusion_map,
        )

    fusable = [name for name in configs.presets() if configs.load(name).model.family == "first_order"]
    compared = {layout(name) for name in ("toon-128", "vox-256", "taichi-256", "mgif-256")}
    assert {layout(name) for name in fusable} <= compared


def test_blend_equals_plain(golden: Path) -> None:
    plain = golden_model(golden, "first_order")
    config = plain.config.model_copy(update={"generator": plain.config.generator.model_copy(update={"skip": "blend"})})
    model = FirstOrderModel(config, plain.size)
    model.load_state_dict(plain.state_dict())
    tensors = load_file(golden / "first_order.safetensors")
    for precision in (torch.float32, torch.bfloat16):
        network = FusedNetwork(model.eval(), precision=precision)
        compare(model, tensors["input.source"], tensors["input.driving"], network)


@pytest.mark.parametrize("variant", ["first_order", "no_occlusion", "resized_flow"])
def test_the_ways_of_a_gpu_equal_plain(golden: Path, variant: str) -> None:
    """Without packing, gathering or Winograd: what runs where there is no oneDNN."""
    model = golden_model(golden, variant)
    tensors = load_file(golden / f"{variant}.safetensors")
    for precision in (torch.float32, torch.bfloat16):
        network = FusedNetwork(model, precision=precision, packed=False)
        network.gathers = False
        compare(model, tensors["input.source"], tensors["input.driving"], network)


def test_one_frame_and_many_agree(golden: Path) -> None:
    model = golden_model(golden, "first_order")
    tensors = load_file(golden / "first_order.safetensors")
    network = FusedNetwork(model)
    source, driving = tensors["input.source"], tensors["input.driving"]
    encoded, kp = network.encode(source), network.detect(source)
    many = network.render(encoded, kp, network.detect(driving)).prediction
    for i in range(len(driving)):
        one = network.render(encoded, kp, network.detect(driving[i : i + 1])).prediction
        torch.testing.assert_close(one[0], many[i], rtol=0, atol=1e-5)


def test_the_source_is_not_changed_by_rendering() -> None:
    """Winograd's bottleneck works in place, on its own copy."""
    model = lively(wide())
    frames = torch.from_numpy(clip((64, 64), 2)).permute(0, 3, 1, 2).float() / 255
    network = FusedNetwork(model)
    encoded, kp = network.encode(frames[:1]), network.detect(frames)
    source = mapped(kp, lambda each: each[:1])
    before = [each.clone() for each in encoded]
    first = network.render(encoded, source, kp).prediction.clone()
    assert torch.equal(network.render(encoded, source, kp).prediction, first)
    assert all(torch.equal(one, other) for one, other in zip(encoded, before, strict=True))


def wide() -> Config:
    """A small network whose bottleneck is of 128 channels at 32 x 32."""
    tree = {
        "detector": {"block_expansion": 8, "max_features": 16, "num_blocks": 2},
        "dense_motion": {"block_expansion": 8, "max_features": 16, "num_blocks": 2},
        "generator": {
            "block_expansion": 64,
            "max_features": 128,
            "num_down_blocks": 1,
            "num_bottleneck_blocks": 2,
        },
        "num_kp": 4,
    }
    return configs.build({"model": tree, "data": {"frame_shape": [64, 64]}})


def test_channels_last_holds_through_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolution, packed or not, meets and leaves channels_last."""
    seen = []

    def watch(layer: type) -> None:
        original = layer.__call__

        def call(self: object, x: Tensor, *args: Tensor, **options: Tensor) -> Tensor:
            y = original(self, x, *args, **options)
            for each in (x, y):
                seen.append(each.is_contiguous(memory_format=torch.channels_last))
            return y

        monkeypatch.setattr(layer, "__call__", call)

    for layer in (Conv, Doubling, Phases):
        watch(layer)
    model = lively(wide())
    frames = torch.from_numpy(clip((64, 64), 2)).permute(0, 3, 1, 2).float() / 255
    for precision in (torch.float32, torch.bfloat16):
        for packed in PACKED:
            for winograd in {False, packed}:
                network = FusedNetwork(model, precision=precision, packed=packed, winograd=winograd)
                kp = network.detect(frames)
                network.render(network.encode(frames[:1]), mapped(kp, lambda each: each[:1]), kp)
    assert len(seen) > 100
    assert all(seen)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("size", [(8, 8), (5, 12)])
def test_doubling_inside_the_kernel_is_exact(size: tuple[int, int], packed: bool) -> None:
    torch.manual_seed(0)
    block = UpBlock(6, 10).eval()
    nn.init.normal_(block.norm.running_mean)
    nn.init.uniform_(block.norm.running_var, 0.5, 2)
    x = torch.randn(2, 6, *size).contiguous(memory_format=torch.channels_last)
    weight, bias = layers.folded(block.conv, block.norm)
    like = torch.empty(0)
    with torch.inference_mode():
        truth = block(x)
        torch.testing.assert_close(Phases(layers.doubling(weight), bias, like, packed)(x), truth, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(Doubling(weight, bias, like, packed)(x), truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("outputs", [1, 3, 11, 16, 17])
def test_a_head_is_its_convolution(outputs: int, packed: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, outputs, 7, padding=3)
    x = torch.randn(2, 5, 9, 11).contiguous(memory_format=torch.channels_last)
    head = Head(*layers.plain(conv), torch.empty(0), packed)
    assert (head.taps == 7) is (outputs in {1, 3}), "by kernel columns"
    with torch.inference_mode():
        torch.testing.assert_close(head(x), conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 3])
def test_the_mean_of_a_convolution_is_the_convolution_of_the_mean(padding: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 3 * 4, 7, padding=padding)
    x = torch.randn(2, 5, 12, 9).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps = conv(x)
        heatmap = torch.randn(2, 3, *maps.shape[2:]).flatten(2).softmax(dim=2).view(2, 3, *maps.shape[2:])
        truth = (heatmap.unsqueeze(2) * maps.unflatten(1, (3, 4))).sum(dim=(3, 4))
        torch.testing.assert_close(MeanHead(conv, 3)(x, heatmap), truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("align_corners", [True, False])
def test_gathering_rows_is_warping(align_corners: bool) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 8, 6, 9).contiguous(memory_format=torch.channels_last)
    flow = torch.rand(3, 5, 7, 2) * 3 - 1.5  # a third looks outside
    flow[0, 0, 0] = torch.tensor([-1.0, 1.0])
    flow[0, 0, 1] = 1e9
    weight = torch.rand(3, 1, 5, 7)
    made = gather(rows(features), (6, 9), flow, weight, align_corners)
    truth = warp(features.expand(3, -1, -1, -1), flow, align_corners) * weight
    torch.testing.assert_close(made, truth, rtol=1e-5, atol=1e-6)
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_a_flow_that_is_no_number_does_no_harm() -> None:
    features = torch.ones(1, 4, 3, 3)
    flow = torch.full((1, 2, 2, 2), torch.nan)
    assert gather(rows(features), (3, 3), flow, None, True).shape == (1, 4, 2, 2)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("tile", [4, 6, 8])
@pytest.mark.parametrize("size", [(32, 32), (18, 24), (4, 7)])
def test_winograd_is_the_convolution(size: tuple[int, int], tile: int, packed: bool) -> None:
    torch.manual_seed(0)
    height, width = size
    weight, bias = torch.randn(16, 16, 3, 3, dtype=torch.float64) / 12, torch.randn(16, dtype=torch.float64)
    pictures = torch.randn(2, height, width, 16)
    with torch.inference_mode():
        scratch = Scratch(2, height, width, 16, tile)
        scratch.inside.copy_(pictures)
        made = torch.empty(2, height, width, 16)
        winograd = Winograd(weight, bias, tile)
        winograd.products.packed = packed
        for strip, output in zip(scratch.strips(made), winograd(scratch), strict=True):
            strip.copy_(output)
    truth = F.conv2d(pictures.double().permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(made.double(), truth, **ROUNDING[tile])


@pytest.mark.parametrize("tile", [4, 6, 8])
def test_winograd_bottleneck_is_the_residual_blocks(tile: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten pictures of a size that no tile divides, four at a time and fewer at the end; borders are zeros."""
    monkeypatch.setattr(bottleneck, "_PIXELS", 4 * 17 * 11)
    torch.manual_seed(0)
    blocks = nn.Sequential(ResBlock(8), ResBlock(8)).eval()
    for module in blocks.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    x = torch.randn(10, 8, 17, 11).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        truth, winograd = blocks(x), WinogradBottleneck(blocks, tile)
        for count in (10, 2, 1, 10):  # the last time in buffers that have been used
            torch.testing.assert_close(winograd(x[:count].clone()), truth[:count], **ROUNDING[tile])


def test_threads_share_a_convolution_from_its_first_call() -> None:
    like, x = torch.zeros(1), torch.rand(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    kernel, turned, bias = torch.rand(16, 16, 3, 3), torch.rand(16, 16, 4, 4), torch.rand(16)

    def call(shared: Conv | Phases, together: Barrier) -> Tensor:
        together.wait(60)
        return shared(x)

    with ThreadPoolExecutor(8) as pool:
        for make in (lambda: Conv(kernel, bias, like), lambda: Phases(turned, bias, like)):
            expected = make()(x)
            for _ in range(100):
                shared, together = make(), Barrier(8)
                calls = [pool.submit(call, shared, together) for _ in range(8)]
                assert all(torch.equal(each.result(), expected) for each in calls)


def test_winograd_is_for_large_maps() -> None:
    assert gains(256, 64, 64)
    assert not gains(256, 16, 16)
    assert not gains(32, 64, 64)
    assert best_tile(64, 64) == 6
    assert best_tile(32, 32) == 4
    assert best_tile(64, 64, exact=False) == best_tile(32, 32, exact=False) == 8
    assert best_tile(36, 36, exact=False) == 6


@pytest.mark.parametrize("tile", [4, 6, 8])
def test_transforms_convolve(tile: int) -> None:
    at, g, bt = Transforms.of(tile)
    torch.manual_seed(0)
    x, kernel = torch.randn(tile + 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    torch.testing.assert_close(at @ ((g @ kernel) * (bt @ x)), x.unfold(0, 3, 1) @ kernel)


def test_transforms_are_the_published_ones() -> None:
    """F(4, 3) of Lavin and Gray, section 4.2."""
    at, g, bt = Transforms.of(4)
    assert bt[:3].tolist() == [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
    assert at.tolist() == [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
    assert g[0].tolist() == [0.25, 0, 0]
    torch.testing.assert_close(g[1], torch.full((3,), -1 / 6, dtype=torch.float64))

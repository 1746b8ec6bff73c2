"""The protocol of a comparison: gates that close, turns, tables; and the command, on a network small enough."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fomm_cli.bench import pictures, timing
from fomm_cli.bench.animate import PLAIN, agreement, bench_animate
from fomm_cli.bench.files import bench_files
from fomm_cli.bench.stand_in import clip, lively
from fomm_cli.bench.timing import Gate, Row, Timing, gate, take_turns
from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.engine.choose import make_engine
from fomm_cli.errors import FommError
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.pixels import to_tensor
from fomm_cli.model.pose import mapped
from fomm_cli.weights.file import save_weights
from tests import live_portrait
from tests.golden import golden_config, golden_model

CPU = torch.device("cpu")


def test_gate_measures_what_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((2, 3, 8, 8), dtype=np.float32)
    kp = rng.random((2, 4, 2), dtype=np.float32)
    made = truth.copy()
    made[0, 0, 0, 0] = truth[0, 0, 0, 0] + 3 / 255 if truth[0, 0, 0, 0] < 0.5 else truth[0, 0, 0, 0] - 3 / 255
    result = gate(truth, made, kp, kp + np.float32(2 / 255), (128, 256))
    assert result.levels == 3
    assert result.keypoints == pytest.approx(1.0, rel=1e-3)  # 2/255 of [-1, 1] is a pixel of 256
    assert result.psnr == pytest.approx(-10 * np.log10((3 / 255) ** 2 / truth.size), abs=1e-3)
    assert result.contrast == pytest.approx(truth.std())


@pytest.mark.parametrize(
    ("result", "precision", "said"),
    [
        (Gate(2, 70, 0, 0.2), "fp32", "8-bit value differs by 2"),
        (Gate(9, 49.9, 0, 0.2), "bf16", "49.9 dB"),
        (Gate(0, 150, 0.02, 0.2), "fp32", r"0\.020 px"),
        (Gate(0, 150, float("nan"), 0.2), "fp32", "keypoints"),
        (Gate(0, 150, 0, 0.01), "fp32", "hide errors"),
    ],
)
def test_a_gate_that_closes(result: Gate, precision: str, said: str) -> None:
    with pytest.raises(FommError, match=said):
        result.check("some way", precision)


def test_nothing_is_timed_that_disagrees(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fomm_cli.bench import animate

    network = animate.FusedNetwork

    def spoiled(model: FirstOrderModel, **options: object) -> object:
        made = network(model, **options)
        made.final.conv.bias += 0.1
        return made

    monkeypatch.setattr(animate, "FusedNetwork", spoiled)
    monkeypatch.setattr(animate, "take_turns", lambda *_, **__: pytest.fail("timed"))
    with pytest.raises(FommError, match="fused fp32"):
        bench_animate(golden_model(golden, "first_order"), "x", True)


def test_rows_take_turns_and_ratios_pair_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    order = []

    def work(name: str, seconds: float) -> None:
        order.append(name)
        now[0] += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    rows = [Row("slow", lambda: work("slow", 0.4)), Row("quick", lambda: work("quick", 0.4), frames=4)]
    timings = take_turns(rows, rounds=2, frames=4, device=CPU, warm_up=1)
    assert order == ["slow", "quick"] + (["slow"] * 4 + ["quick"]) * 2
    assert timings["slow"].calls == pytest.approx([400.0] * 8)
    assert timings["quick"].calls == pytest.approx([100.0] * 2)
    assert timings["quick"].ratio(timings["slow"]) == pytest.approx(4)
    # a machine twice as busy in one round slows both rows of it, and the ratio stays
    assert Timing([1], [1.0, 2.0, 1.0]).ratio(Timing([1], [3.0, 6.0, 3.0])) == 3
    assert Timing([4.0, 1.0, 2.0], [1.0]).as_dict(Timing([1], [2.0])) == {
        "ms_median": 2.0,
        "ms_p95": 3.8,
        "ms_min": 1.0,
        "fps": 500.0,
        "ratio": 2.0,
    }


def test_lively_networks_have_contrast_and_move() -> None:
    config = configs.build(
        {
            "model": {
                "num_kp": 3,
                "detector": {"block_expansion": 4, "max_features": 8, "num_blocks": 2},
                "dense_motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 2},
                "generator": {"block_expansion": 8, "max_features": 16, "num_bottleneck_blocks": 1},
            },
            "data": {"frame_shape": [32, 48]},
        }
    )
    engine = make_engine(lively(config), "plain")
    frames = clip((32, 48), 6)
    assert frames.shape == (6, 32, 48, 3)
    pose = engine.detect(frames)
    made = engine.render(engine.encode(frames[0]), mapped(pose, lambda each: each[:1]), pose)
    assert made.std() > 0.05 * 255
    assert np.ptp(pose.value, axis=0).max() > 1e-3
    again = lively(config).generator.final.weight
    torch.testing.assert_close(again, lively(config).generator.final.weight)


def test_agreement_on_given_frames(golden: Path) -> None:
    model = golden_model(golden, "first_order")
    frames = to_tensor(clip(model.size, 3))
    gates = agreement(model, "bf16", frames[:1], frames[1:])
    assert list(gates) == ["fused fp32", "fused bf16"]
    assert gates["fused fp32"].levels <= 1
    assert 50 <= gates["fused bf16"].psnr < gates["fused fp32"].psnr


def test_files_are_measured(golden: Path, tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    model = golden_model(golden, "first_order")
    save_weights(weights, model, golden_config(golden, "first_order"))
    result = bench_files(make_engine(model), weights, ["--device", "cpu"], 8, 0, lambda text: None, starts=1)
    assert set(result["fps"]) == {"decode", "network", "encode", "whole"}
    assert all(fps > 0 for fps in result["fps"].values())
    assert result["slowest"] in result["fps"]
    assert result["first_frame_s"] > 0
    assert result["peak_mib_one_frame"] > 50


def test_the_command(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomm_cli.bench import animate

    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, golden_model(golden, "first_order"), golden_config(golden, "first_order"))
    monkeypatch.setattr(animate, "bundled", lambda device, precision: {})
    options = ["bench", "animate", "--weights", str(weights), "--device", "cpu", "--rounds", "1", "--frames", "2"]
    assert main([*options, "--precision", "bf16", "--ladder", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"][PLAIN]["ratio"] == 1
    assert {"fused fp32, batch 1", "fused bf16, batch 4", "+ channels_last"} <= set(result["model"])
    assert result["gates"]["fused bf16, batch 4"]["psnr"] >= 50
    assert list(result["host"]) == ["plain fp32", "fused fp32", "fused bf16"]
    assert result["network"] == {"name": "first_order", "size": [64, 64], "parameters_m": 0.1, "trained": True}
    for name, side in (("LARGE", 96), ("FULL", 96), ("WHOLE", 192), ("PART", 64)):
        monkeypatch.setattr(pictures, name, side)
    assert main([*options, "--precision", "fp32", "--pictures", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["pictures"].values()
    assert list(table) == ["network alone", "at 96 px", "at full size, 96 px", "64 px put back into 192 x 192"]
    assert table["network alone"]["ratio"] == 1
    assert main([*options, "--precision", "fp32"]) == 0
    assert "plain loop" in capsys.readouterr().out


def test_other_families_are_measured_stage_by_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, live_portrait.model("tiny"), live_portrait.config("tiny"))
    options = ["bench", "animate", "--weights", str(weights), "--device", "cpu", "--rounds", "1", "--frames", "1"]
    assert main([*options, "--precision", "bf16", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["gates"]["fused fp32"]["psnr"] > 60
    assert result["gates"]["fused bf16"]["psnr"] >= 45
    assert list(result["stages"]) == ["encode the source", "detect", "settle", "render", "a frame"]
    assert all(list(table) == ["plain fp32", "fused fp32", "fused bf16"] for table in result["stages"].values())
    assert result["stages"]["a frame"]["plain fp32"]["ratio"] == 1
    assert main(["bench", "animate", "--config", "tps-toon-128"]) == 1
    assert "Give --weights" in capsys.readouterr().err

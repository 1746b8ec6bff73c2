"""Engines by name, and the fused one behind the protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fomm_cli.bench.stand_in import clip
from fomm_cli.engine import choose
from fomm_cli.engine.choose import best_precision, make_engine
from fomm_cli.engine.fused import FusedEngine
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from tests.golden import golden_model


def test_fused_engine_equals_plain_on_pictures(golden: Path) -> None:
    model = golden_model(golden, "non_square")
    frames = clip(model.size, 5)
    plain, fused = PlainEngine(model), FusedEngine(model)
    assert fused.size == plain.size == (64, 96)
    assert fused.batch == plain.batch
    results = []
    for engine in (plain, fused):
        source = engine.detect(frames[:1])
        driving = engine.detect(frames)
        assert isinstance(driving.value, np.ndarray)
        results.append(engine.render(engine.encode(frames[0]), source, driving))
    assert results[0].shape == results[1].shape == frames.shape
    assert results[0].dtype == results[1].dtype == np.uint8
    assert np.abs(results[0].astype(int) - results[1]).max() <= 1


def test_auto_is_fused_in_the_best_precision(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = golden_model(golden, "first_order")
    for units, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(choose, "_bf16_units", lambda units=units: units)
        assert best_precision(torch.device("cpu")) == precision
        assert make_engine(model).name.startswith(f"fused {precision} on cpu")
    assert make_engine(model, precision="fp32").name.startswith("fused fp32")
    assert make_engine(model, "plain").name.startswith("plain fp32")


def test_precision_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for major, precision in ((9, "bf16"), (8, "bf16"), (7, "fp16"), (6, "fp32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, major=major: (major, 0))
        assert best_precision(torch.device("cuda")) == precision
    assert best_precision(torch.device("mps")) == "fp32"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "fusd"}, "Did you mean 'fused'"),
        ({"precision": "fp8"}, "precision 'fp8'"),
        ({"engine": "plain", "precision": "bf16"}, "--precision bf16"),
        ({"engine": "plain", "cuda_graphs": True}, "--cuda-graphs"),
        ({"precision": "fp16"}, "fp16 on a CPU"),
        ({"cuda_graphs": True}, "CUDA device"),
    ],
)
def test_pairs_that_do_not_go_together(golden: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(FommError, match=said):
        make_engine(golden_model(golden, "zero_order"), **options)


def test_engines_keep_their_own_weights(golden: Path) -> None:
    """What happens to the model afterwards does not change an engine made from it."""
    model = golden_model(golden, "first_order")
    frames = clip(model.size, 2)
    engine = FusedEngine(model)
    before = engine.detect(frames)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(engine.detect(frames).value, before.value)

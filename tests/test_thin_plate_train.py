"""Training steps of thin-plate splines against the original's numbers, and what its schedule does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.model.config import AvdTrain
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.model.thin_plate.config import DropoutConfig
from fomm_cli.model.thin_plate.dense import dropped_softmax
from fomm_cli.model.thin_plate.network import ThinPlateModel
from fomm_cli.model.thin_plate.pose import SplinePoints
from fomm_cli.model.thin_plate.training import kept
from fomm_cli.model.training import Progress
from fomm_cli.train.state import Part, State
from tests.test_train_step import golden_vgg
from tests.thin_plate import PARTS, golden_thin_plate_config, our_state

TRAINED = ["kp_detector", "dense_motion_network", "inpainting_network", "bg_predictor"]
GROUPS = {
    "kp_detector": "kp_detector",
    "dense_motion": "dense_motion_network",
    "generator": "inpainting_network",
    "background": "bg_predictor",
}


def stored_training(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return json.loads((folder / "train_steps.json").read_text())[name], load_file(folder / f"{name}.safetensors")


def golden_start(folder: Path, stored: dict[str, Any]) -> State:
    config = golden_thin_plate_config(stored["model_params"], (64, 64), stored["train_params"] | {"batch_size": 2})
    state = State(config, torch.device("cpu"), golden_vgg(), dtype=torch.float64)
    state.model.load_state_dict(our_state(folder, "normal", stored["seed"], TRAINED))
    state.epoch = stored["epoch"]
    return state


def golden_part(tensors: dict[str, Tensor], step: int, epoch: int) -> Part:
    theta, weights = (tensors[f"transform.{name}"][step].double() for name in ("theta", "control_params"))
    source, driving = (tensors[f"step.{step}.{name}"].double() for name in ("source", "driving"))
    # Any number below 1 - P keeps a spline, any other drops it.
    keep = tensors["dropout.keep"][step].double() if "dropout.keep" in tensors else source.new_ones(2, 5)
    transform = SmoothTransform(theta, weights, euclidean=True)
    return Part(source, driving, transform, Progress(0, step, epoch), 1 - keep)


def our_name(published: str) -> str:
    part, _, rest = published.partition(".")
    return f"{PARTS[part]}.{rest}"


def test_the_first_step_with_dropout_and_without_background_is_the_originals(golden_thin_plate: Path) -> None:
    stored, tensors = stored_training(golden_thin_plate, "train_dropout")
    compare_steps(stored, tensors, golden_start(golden_thin_plate, stored), 1)


def test_three_steps_are_the_originals(golden_thin_plate: Path) -> None:
    stored, tensors = stored_training(golden_thin_plate, "train_plain")
    state = golden_start(golden_thin_plate, stored)
    compare_steps(stored, tensors, state, 3)
    model = state.model.eval()
    assert isinstance(model, ThinPlateModel)
    parameters, rate = dict(model.named_parameters()), stored["train_params"]["lr_generator"]
    found = model.state_dict()
    compared = 0
    for key, value in tensors.items():
        if key.startswith("after.parameter."):
            name = our_name(key.removeprefix("after.parameter."))
            assert (parameters[name] - value).abs().max() < 1e-4 * rate, key
            compared += 1
        elif "running" in key:
            name = our_name(key.removeprefix("after."))
            torch.testing.assert_close(found[name].float(), value, atol=1e-6, rtol=1e-6)
    assert compared >= 8
    for part_name in ("kp_detector", "bg_predictor"):
        start = PARTS[part_name]
        calls = {int(v) for k, v in found.items() if k.startswith(start) and k.endswith("num_batches_tracked")}
        assert calls == {stored[f"after.{part_name}.num_batches_tracked"]}

    part = golden_part(tensors, 0, stored["epoch"])
    with torch.no_grad():
        poses = model.detect(part.source), model.detect(part.driving)
        background = model.background(part.source, part.driving)
        prediction = model.render(model.encode(part.source), *poses, background).prediction
    assert background is not None
    torch.testing.assert_close(background.float(), tensors["after.bg_param"], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(poses[1].value.float(), tensors["after.kp_driving"], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(prediction.float(), tensors["after.prediction"], atol=1e-6, rtol=1e-6)


def compare_steps(stored: dict[str, Any], tensors: dict[str, Tensor], state: State, steps: int) -> None:
    """Losses and norms of the first steps, and the first's gradients."""
    clip, seen = state._clip, []

    def spy(group: str) -> Tensor:
        if not seen:
            compare_gradients(stored, tensors, state)
        seen.append(group)
        return clip(group)

    state._clip = spy  # type: ignore[method-assign]
    for step, expected in enumerate(stored["steps"][:steps]):
        part = golden_part(tensors, step, stored["epoch"])
        values = dict(zip(state.names(), state.update([part]).tolist(), strict=True))
        assert values["skipped"] == 0
        for loss, value in expected["losses"].items():
            assert values[loss] == pytest.approx(value, rel=1e-7), (step, loss)
        assert values["loss"] == pytest.approx(sum(expected["losses"].values()), rel=1e-7)
        for group, part_name in GROUPS.items():
            if part_name in expected["inf_norm"]:
                kind = "l2_norm" if group == "generator" else "inf_norm"  # the norm each is clipped by
                assert values[f"grad_norm_{group}"] == pytest.approx(expected[kind][part_name], rel=5e-6), group
            else:
                assert values[f"grad_norm_{group}"] == 0


def compare_gradients(stored: dict[str, Any], tensors: dict[str, Tensor], state: State) -> None:
    """The gradients of step 0, before they are clipped."""
    gradients = {name: parameter.grad for name, parameter in state.model.named_parameters()}
    compared = 0
    for key, theirs in stored["gradient_norms_step_0"].items():
        gradient = gradients[our_name(key)]
        if theirs > 1e-6:  # a bias before a norm has none
            assert gradient is not None, key
            assert gradient.norm().item() == pytest.approx(theirs, rel=5e-6), key
            compared += 1
    assert compared > 150
    for key, value in tensors.items():
        if key.startswith("gradient.0."):
            gradient = gradients[our_name(key.removeprefix("gradient.0."))]
            assert gradient is not None
            assert (gradient.float() - value).norm() < 1e-5 * value.norm(), key


def test_the_chance_of_a_spline_to_rest_follows_the_schedule() -> None:
    dropout = DropoutConfig(until=35, rise=10, start=0.1, most=0.3)
    uniform = torch.linspace(0, 1, 1001)[None, :-1].clone()
    for epoch, chance in ((0, 0.1), (5, 0.25), (10, 0.3), (34, 0.3)):
        keep = kept(uniform, dropout, epoch)
        assert keep is not None
        assert keep[0, 0] == 1
        assert 1 - keep.mean().item() == pytest.approx(chance, abs=2e-3), epoch
    assert kept(uniform, dropout, 35) is None


def test_what_rests_takes_no_share_and_the_rest_is_whole() -> None:
    logits = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    keep = torch.tensor([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    shares = dropped_softmax(logits, keep)
    assert (shares[0, 1] == 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 3, 3, dtype=torch.float64), atol=1e-4, rtol=0)
    torch.testing.assert_close(shares[1], logits[1].softmax(dim=0), atol=1e-5, rtol=0)


def test_three_steps_of_the_second_stage_are_the_originals(golden_thin_plate: Path) -> None:
    stored, tensors = stored_training(golden_thin_plate, "train_avd")
    params = json.loads((golden_thin_plate / "configs.json").read_text())["normal"]["model_params"]
    first = golden_thin_plate_config(params, (64, 64), {})
    settings = {"batch_size": stored["batch"], "lr_avd": stored["lr"], "random_scale": stored["random_scale"]}
    config = first.model_copy(update={"train": AvdTrain(**settings)})
    state = State(config, torch.device("cpu"), None, dtype=torch.float64)
    model = state.model
    assert isinstance(model, ThinPlateModel)
    assert model.avd is not None
    published = our_state(golden_thin_plate, "normal", stored["seed"], ["avd_network"])
    model.avd.load_state_dict({key.removeprefix("avd."): value for key, value in published.items()})
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def poses(step: int) -> list[SplinePoints]:
        return [SplinePoints(tensors[f"step.{step}.{name}"].double()) for name in ("kp_source", "kp_driving")]

    frames = torch.zeros(stored["batch"], 3, 64, 64, dtype=torch.float64)
    transform = SmoothTransform(frames.new_zeros(stored["batch"], 2, 3), None)
    for step, expected in enumerate(stored["steps"]):
        model.detect = MagicMock(side_effect=poses(step))  # type: ignore[method-assign]
        factors = tensors[f"step.{step}.scale"].double()
        uniform = ((factors - 1) / stored["random_scale"] + 1) / 2
        values = dict(
            zip(state.names(), state.update([Part(frames, frames, transform, Progress(), uniform)]), strict=True)
        )
        assert values["shift"].item() == pytest.approx(expected["losses"]["rec_kp"], rel=1e-9)
        assert values["grad_norm_avd"].item() == pytest.approx(expected["l2_norm"], rel=1e-7)

    model.avd.eval()
    torch.testing.assert_close(model.disentangle(*poses(0)).value.float(), tensors["after.rec"], atol=1e-6, rtol=0)
    moved = {
        name.partition(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"avd"}, "neither weights nor statistics of the others move"

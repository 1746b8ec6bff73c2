"""Training steps against the original's numbers, and what a step must not do."""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from fomm_cli.model import losses
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.train import perceptual
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import GeneratorPass, draw_transform
from fomm_cli.weights.file import build_discriminator, build_model
from tests.golden import golden_config, golden_state
from tests.training import tiny_config

OURS = {
    "perceptual": "perceptual",
    "generator_gan": "gen_gan",
    "feature_matching": "feature_matching",
    "equivariance_value": "equivariance_value",
    "equivariance_jacobian": "equivariance_jacobian",
    "discriminator_gan": "disc_gan",
    "grad_norm_generator": "generator",
    "grad_norm_kp_detector": "kp_detector",
}


def golden_training(golden: Path) -> tuple[Config, list[dict]]:
    """Config and stored losses of the reference training."""
    stored = json.loads((golden / "train_steps.json").read_text())
    tree = golden_config(golden, "first_order").model_dump(mode="json")
    weights = dict(stored["train_params"]["loss_weights"])
    tree["train"] |= {"scales": stored["train_params"]["scales"], "loss": weights, "batch_size": 2}
    return build(tree), stored["losses"]


@functools.cache
def golden_vgg() -> perceptual.Vgg19:
    """VGG-19 filled by the reference's recipe, in float64."""
    network = perceptual.Vgg19()
    for name, value in network.state_dict().items():
        key = name.removeprefix("layers.")
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()) + 3))
        noise = generator.standard_normal(tuple(value.shape)).astype(np.float32)
        scale = 0.05 if key.endswith("bias") else np.sqrt(2 / np.prod(value.shape[1:]))
        value.copy_(torch.from_numpy((noise * scale).astype(np.float32)))
    perceptual.freeze(network)
    return network.double()


def golden_start(golden: Path, config: Config) -> State:
    state = State(config, torch.device("cpu"), golden_vgg(), dtype=torch.float64)
    model, discriminator = golden_state(golden, "train_start")
    state.model.load_state_dict(model)
    assert state.discriminator is not None
    state.discriminator.load_state_dict(discriminator)
    return state


def golden_part(tensors: dict[str, Tensor], step: int) -> Part:
    transform = SmoothTransform(tensors["transform.theta"][step], tensors["transform.control_params"][step][:, 0])
    return Part(tensors[f"step.{step}.source"].double(), tensors[f"step.{step}.driving"].double(), transform)


def test_three_steps_are_the_originals(golden: Path) -> None:
    config, steps = golden_training(golden)
    tensors = load_file(golden / "train_steps.safetensors")
    state = golden_start(golden, config)
    for step, stored in enumerate(steps):
        part = golden_part(tensors, step)
        frame = part.transform.frame(part.driving, True)
        torch.testing.assert_close(frame, tensors[f"step.{step}.transformed_frame"].double(), atol=1e-6, rtol=0)
        values = dict(zip(state.names(), state.update([part]).tolist(), strict=True))
        assert values["skipped"] == 0
        flat = stored | stored["grad_norm"]
        for name, theirs in OURS.items():
            assert values[name] == pytest.approx(flat[theirs], rel=1e-6), (step, name)

    state.model.eval()
    part = golden_part(tensors, 0)
    with torch.no_grad():
        kp_source, kp_driving = state.model.detect(part.source), state.model.detect(part.driving)
        rendered = state.model.render(state.model.encode(part.source), kp_source, kp_driving)
    torch.testing.assert_close(kp_driving.value, tensors["after.kp_driving.value"], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(rendered.prediction, tensors["after.prediction"], atol=1e-6, rtol=1e-6)


def test_first_gradients_and_predictions_are_the_originals(golden: Path) -> None:
    config, _ = golden_training(golden)
    tensors = load_file(golden / "train_steps.safetensors")
    model, discriminator = build_model(config).double(), build_discriminator(config).double()
    states = golden_state(golden, "train_start")
    model.load_state_dict(states[0])
    discriminator.load_state_dict(states[1])
    part = golden_part(tensors, 0)
    outcome = GeneratorPass(config, model, golden_vgg(), discriminator).double()(*part)
    outcome.total.backward()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    torch.testing.assert_close(outcome.prediction.float(), tensors["step.0.prediction"], atol=1e-6, rtol=0)
    judge, _ = model.family.training().judge(discriminator, config.train)
    judge(outcome.prediction, part.driving, outcome.pose_driving).backward()

    ours = dict(model.named_parameters())
    ours |= {f"discriminator.{name}": value for name, value in discriminator.named_parameters()}
    compared = 0
    for key, theirs in tensors.items():
        if not key.startswith("step.0.grad."):
            continue
        name = key.removeprefix("step.0.grad.")
        name = name.replace("generator.dense_motion_network.", "dense_motion.")
        gradient = ours[name].grad
        assert gradient is not None, name
        if theirs.norm() > 1e-6:  # a bias before a batch norm has none
            assert (gradient - theirs).norm() < 1e-5 * theirs.norm(), name
            compared += 1
    assert compared > 60


def random_part(batch: int = 4, side: int = 16, seed: int = 0, dtype: torch.dtype = torch.float32) -> Part:
    generator = torch.Generator().manual_seed(seed)
    source, driving = (
        torch.rand(batch, 3, side, side, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2)
    )
    return Part(source, driving, draw_transform(tiny_config().train.transform, batch, source, seed, 0))


def fresh(config: Config, dtype: torch.dtype = torch.float32) -> State:
    torch.manual_seed(0)
    return State(config, torch.device("cpu"), None, dtype=dtype)


def values_of(state: State, parts: list[Part]) -> dict[str, float]:
    return dict(zip(state.names(), state.update(parts).tolist(), strict=True))


def test_without_a_gan_weight_there_is_no_discriminator() -> None:
    weights = tiny_config().train.loss.model_copy(update={"generator_gan": 0.0})
    state = fresh(tiny_config(loss=weights))
    assert state.discriminator is None
    assert "feature_matching" not in state.names()
    assert "discriminator" not in state.optimizers
    assert values_of(state, [random_part()])["loss"] > 0


def test_the_total_is_the_sum_of_the_weighted_terms() -> None:
    state = fresh(tiny_config(), torch.float64)
    values = values_of(state, [random_part(dtype=torch.float64)])
    terms = ("reconstruction", "generator_gan", "feature_matching", "equivariance_value", "equivariance_jacobian")
    assert values["loss"] == pytest.approx(sum(values[name] for name in terms), rel=1e-12)


@pytest.mark.parametrize("where", ["source", "driving"])
def test_a_step_that_is_not_finite_changes_nothing(where: str) -> None:
    state = fresh(tiny_config())
    state.update([random_part()])
    before = {name: value.clone() for name, value in tensors_of(state).items()}
    part = random_part(seed=1)
    getattr(part, where)[0, 0, 0, 0] = float("nan")
    assert values_of(state, [part])["skipped"] == 1
    for name, value in tensors_of(state).items():
        if "num_batches_tracked" not in name and not name.startswith("average"):
            assert torch.equal(value, before[name]), name
    assert all(torch.isfinite(value).all() for value in tensors_of(state).values())
    assert values_of(state, [random_part(seed=2)])["skipped"] == 0


def test_a_bad_discriminator_step_leaves_the_generators() -> None:
    class Poisoned(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *arguments: object) -> Tensor:
            return self.inner(*arguments) * float("nan")

    state, sound = fresh(tiny_config()), fresh(tiny_config())
    before = {name: value.clone() for name, value in tensors_of(state).items()}
    assert state.discriminator_pass is not None
    state.discriminator_pass = Poisoned(state.discriminator_pass)
    assert values_of(state, [random_part()])["skipped"] == 1
    sound.update([random_part()])
    expected = tensors_of(sound)
    for name, value in tensors_of(state).items():
        if name.startswith("model."):
            assert torch.equal(value, expected[name]), name
        elif name.startswith("discriminator."):
            assert torch.equal(value, before.get(name, value)), name


def test_balance_weighs_pairs_by_what_moves_in_them() -> None:
    source = torch.zeros(4, 3, 4, 4)
    driving = torch.tensor([0.05, 0.025, 0.0, 0.5])[:, None, None, None].expand_as(source)
    assert losses.pair_weights(source, driving, 0) is None
    torch.testing.assert_close(losses.pair_weights(source, driving, 1), torch.tensor([1.0, 2.0, 5.0, 0.1]))
    torch.testing.assert_close(losses.pair_weights(source, driving, 0.5), torch.tensor([1.0, 2.0, 5.0, 0.1]).sqrt())


def test_a_balanced_batch_is_the_mean_of_its_balanced_pairs() -> None:
    """Weights belong to pairs, not to batches: splitting a batch changes nothing."""
    weights = {"reconstruction": 1.0, "generator_gan": 0.0}
    config = tiny_config(loss=tiny_config().train.loss.model_copy(update=weights), balance=1.0)
    part = random_part(dtype=torch.float64)
    part.driving[:2].lerp_(part.source[:2], 0.9)
    state = fresh(config, torch.float64)
    state.model.eval()
    whole = state.generator_pass(*part).terms["reconstruction"]
    halves = [state.generator_pass(*half_of(part, where)).terms["reconstruction"] for where in (slice(2), slice(2, 4))]
    torch.testing.assert_close(whole, torch.stack(halves).mean(), rtol=1e-10, atol=0)


def half_of(part: Part, where: slice) -> Part:
    transform = SmoothTransform(part.transform.theta[where], part.transform.weights[where])
    return Part(part.source[where], part.driving[where], transform)


def tensors_of(state: State) -> dict[str, Tensor]:
    found = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    assert state.discriminator is not None
    assert state.average is not None
    found |= {f"discriminator.{name}": value for name, value in state.discriminator.state_dict().items()}
    found |= {f"average.{name}": value for name, value in state.average.state_dict().items()}
    for name, optimizer in state.optimizers.items():
        for place, entry in optimizer.state_dict()["state"].items():
            found |= {f"{name}.{place}.{key}": torch.as_tensor(value) for key, value in entry.items()}
    return found


def test_a_detector_without_rate_stands_still_but_its_statistics_move() -> None:
    state = fresh(tiny_config(lr_kp_detector=0.0))
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    state.update([random_part()])
    after = state.model.state_dict()
    weights = [name for name, _ in state.model.keypoint_detector.named_parameters(prefix="keypoint_detector")]
    assert all(torch.equal(after[name], before[name]) for name in weights)
    assert any(not torch.equal(after[name], before[name]) for name in after if "keypoint_detector" in name)
    assert not torch.equal(after["generator.final.weight"], before["generator.final.weight"])


def test_accumulated_parts_give_the_mean_gradient() -> None:
    """One part twice has the gradient of that part once, so the same first step is made."""
    weights = tiny_config().train.loss.model_copy(
        update={"generator_gan": 0.0}
    )  # spectral norm would tell the calls apart
    part = random_part(dtype=torch.float64)
    once = fresh(tiny_config(loss=weights), torch.float64)
    twice = fresh(tiny_config(loss=weights, accumulate=2), torch.float64)
    one, two = values_of(once, [part]), values_of(twice, [part, part])
    for name in ("loss", "reconstruction", "grad_norm_generator", "grad_norm_kp_detector"):
        assert two[name] == pytest.approx(one[name], rel=1e-9), name
    for (name, ours), theirs in zip(once.model.named_parameters(), twice.model.parameters(), strict=True):
        if "bias" not in name:  # a bias before a batch norm has a gradient of rounding errors, which Adam magnifies
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0, msg=name)


def test_clipping_bounds_the_update_of_plain_descent() -> None:
    config = tiny_config(clip_grad_norm=1e-3)
    state = fresh(config)
    seen = {}
    apply = state._apply

    def spy(name: str, bad: Tensor) -> None:
        gradients = [one.grad for one in state.groups[name].parameters if one.grad is not None]
        seen[name] = torch.stack([one.norm() for one in gradients]).norm().item()
        apply(name, bad)

    state._apply = spy  # type: ignore[method-assign]
    state.update([random_part()])
    assert set(seen) == {"generator", "kp_detector", "discriminator"}
    assert all(norm == pytest.approx(1e-3, rel=1e-2) for norm in seen.values())


def test_the_average_follows_slowly() -> None:
    state = fresh(tiny_config(ema=0.5))
    assert state.average is not None
    start = state.model.generator.final.weight.detach().clone()
    state.update([random_part()])
    expected = torch.lerp(start, state.model.generator.final.weight.detach(), 1 - min(0.5, 1 / 10))
    torch.testing.assert_close(state.average.generator.final.weight, expected)
    assert state.exported is state.average


def test_bf16_keeps_losses_and_keypoints_in_float32() -> None:
    part = random_part()
    plain, half = fresh(tiny_config()), fresh(tiny_config(precision="bf16"))
    outcome = half.generator_pass(*part)
    assert outcome.total.dtype == outcome.pose_driving.value.dtype == outcome.prediction.dtype == torch.float32
    one, other = values_of(plain, [part]), values_of(half, [part])
    for name in ("loss", "reconstruction", "equivariance_value"):
        assert other[name] == pytest.approx(one[name], rel=0.1)
    assert other["loss"] != one["loss"]


def test_transforms_depend_on_seed_and_step_alone() -> None:
    like, config = torch.zeros(1), tiny_config().train.transform
    torch.rand(3)
    first = draw_transform(config, 4, like, 1, 2)
    torch.rand(5)
    again, other = draw_transform(config, 4, like, 1, 2), draw_transform(config, 4, like, 1, 3)
    assert torch.equal(first.theta, again.theta)
    assert first.weights is not None
    assert again.weights is not None
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.theta, other.theta)

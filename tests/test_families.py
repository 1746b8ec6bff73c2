"""The seam for families: the table "where things change" holds, shown by adding a term and a family in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from fomm_cli.animate.animator import Animator
from fomm_cli.config.reading import build, keys, override
from fomm_cli.engine.choose import make_engine
from fomm_cli.errors import FommError
from fomm_cli.export.export import export
from fomm_cli.model.config import LossConfig, ModelConfig, TrainConfig
from fomm_cli.model.families import FAMILIES
from fomm_cli.model.family import Family
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.training import TERMS, Group, Scene, Training
from fomm_cli.model.types import DenseMotion, Rendering
from fomm_cli.train.state import Part, State
from fomm_cli.train.step import draw_transform
from fomm_cli.weights.file import build_model, save_weights
from fomm_cli.weights.load import load_model
from tests.engines import tiny_config


class Spot(NamedTuple):
    """One point: where a frame is bright."""

    value: Any


class ToyConfig(ModelConfig):
    family: Literal["toy"] = "toy"
    gain: float = 1.0
    """How far a movement of the spot carries."""

    @property
    def points(self) -> int:
        return 1


class ToyLoss(LossConfig):
    perceptual: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    reconstruction: float = 1.0
    smallness: float = Field(0.5, ge=0)
    """A toy term: the scale should be small."""


class ToyTrain(TrainConfig):
    loss: ToyLoss = ToyLoss()


class ToyEncoded(NamedTuple):
    source: Tensor
    half: Tensor


class ToyModel(AnimationModel):
    """Brightens the source by as much as the spot moved."""

    rendered = ("half",)

    def __init__(self, config: ToyConfig, size: tuple[int, int]) -> None:
        super().__init__(config, size)
        self.scale = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.scale.weight, config.gain)

    def detect(self, image: Tensor) -> Spot:
        return Spot(image.mean(dim=(1, 2, 3))[:, None, None].expand(-1, 1, 2))

    def encode(self, source: Tensor) -> ToyEncoded:
        return ToyEncoded(source, source / 2)

    def render(
        self, encoded: Any, pose_source: Any, pose_driving: Any, background: Any = None, deformed: bool = True
    ) -> Rendering:
        moved = self.scale((pose_driving.value - pose_source.value)[..., :1])
        prediction = (2 * encoded.half + moved.unsqueeze(-1)).clamp(0, 1)
        flow = prediction.new_zeros(len(prediction), 4, 4, 2)
        return Rendering(prediction, DenseMotion(flow, (), flow[..., 0].unsqueeze(1), flow), None)


class ToyTraining(Training):
    terms = {"smallness": lambda scene, weight: weight * scene.model.scale.weight.abs().sum()}  # noqa: RUF012

    def groups(self, model: Any, train: Any) -> dict[str, Group]:
        return {"generator": Group(list(model.parameters()), train.lr_generator)}


class Toy(Family):
    name = "toy"
    title = "toy motion"
    Config = ToyConfig
    Train = ToyTrain
    Pose = Spot
    parts = ("scale",)

    def carry(self, source: Any, driving: Any, initial: Any, adapt_scale: bool) -> Any:
        return Spot(source.value + driving.value - initial.value)

    def distance(self, source: Any, driving: Any) -> NDArray[np.float64]:
        return np.abs(np.asarray(driving.value, dtype=np.float64) - source.value).mean(axis=(1, 2))

    def network(self, config: Any, size: tuple[int, int]) -> ToyModel:
        return ToyModel(config, size)

    def training(self) -> Training:
        return ToyTraining()


@pytest.fixture
def toy() -> Iterator[Any]:
    FAMILIES["toy"] = Toy()
    yield build({"model": {"family": "toy", "gain": 0.5}, "data": {"frame_shape": 32}, "train": {"batch_size": 2}})
    del FAMILIES["toy"]


def frames(*levels: int) -> list[NDArray[np.uint8]]:
    return [np.full((32, 32, 3), level, dtype=np.uint8) for level in levels]


def test_a_family_has_its_own_keys_and_refuses_those_of_others(toy: Any) -> None:
    assert "model.gain" in keys()
    assert "train.loss.smallness" in keys()
    assert build(override(toy.model_dump(mode="json"), ["model.gain=2"])).model.gain == 2
    with pytest.raises(FommError, match="num_kp"):
        build({"model": {"family": "toy", "num_kp": 3}})
    with pytest.raises(FommError, match=r"model: There is no family of models 'toyy'"):
        build({"model": {"family": "toyy"}})


def test_a_file_from_before_families_is_first_order() -> None:
    config = build({"model": {"motion": "first_order", "num_kp": 3}})
    assert config.model.family == "first_order"
    assert config.model.points == 3


def test_a_family_is_saved_loaded_and_animated(toy: Any, tmp_path: Path) -> None:
    file = save_weights(tmp_path / "toy.safetensors", build_model(toy), toy)
    engine = make_engine(load_model(file, "cpu"))
    assert engine.name.startswith("plain")
    with pytest.raises(FommError, match="does not run toy motion"):
        make_engine(load_model(file, "cpu"), "fused")
    animator = Animator(str(file), frames(100)[0])
    made = [frame[0, 0, 0] for frame in animator.frames(frames(50, 60, 90))]
    np.testing.assert_array_equal(made, [100, 105, 120])
    assert animator.find_anchor(frames(0, 90, 110)).index == 1
    with pytest.raises(FommError, match="There is no mode 'avd' in toy motion"):
        Animator(engine, frames(100)[0], mode="avd")


def test_a_family_is_exported_and_runs_without_torch(toy: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export(build_model(toy).eval().requires_grad_(False), toy, tmp_path / "out")
    animator = Animator(tmp_path / "out", frames(100)[0])
    assert [frame[0, 0, 0] for frame in animator.frames(frames(50, 60))] == [100, 105]


def test_a_family_is_trained_by_its_own_terms(toy: Any) -> None:
    state = State(toy, torch.device("cpu"), None)
    assert state.names() == [
        "loss", "reconstruction", "smallness", "grad_norm_generator", "keypoint_spread", "skipped"
    ]  # fmt: skip
    source, driving = torch.full((2, 3, 32, 32), 0.2), torch.full((2, 3, 32, 32), 0.6)
    part = Part(source, driving, draw_transform(toy.train.transform, 2, source, 0, 0))
    values = dict(zip(state.names(), state.update([part]).tolist(), strict=True))
    assert values["smallness"] == pytest.approx(0.5 * 0.5)
    assert values["reconstruction"] == pytest.approx(0.2, abs=1e-6)


def test_a_term_is_one_field_and_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A term for every family: the weight is `reconstruction`'s, the entry is all there is to add beside a field."""

    def squared(scene: Scene, weight: float) -> Tensor:
        return weight * (scene.rendering.prediction - scene.driving).square().mean()

    monkeypatch.setitem(TERMS, "reconstruction", squared)
    config = tiny_config()
    loss = config.train.loss.model_copy(update={"perceptual": (0.0,) * 5, "reconstruction": 3.0})
    config = config.model_copy(update={"train": config.train.model_copy(update={"loss": loss})})
    state = State(config, torch.device("cpu"), None)
    source, driving = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    part = Part(source, driving, draw_transform(config.train.transform, 2, source, 0, 0))
    outcome = state.generator_pass(part.source, part.driving, part.transform)
    expected = 3 * (outcome.prediction - driving).square().mean()
    torch.testing.assert_close(outcome.terms["reconstruction"], expected)

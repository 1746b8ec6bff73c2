"""Exports agree with the model, describe themselves, and animate without torch."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch

from fomm_cli.bench.stand_in import clip, lively
from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.engine.onnx import OnnxEngine
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.export import verify
from fomm_cli.export.export import export
from fomm_cli.export.formats import FORMATS
from fomm_cli.export.views import Graph
from fomm_cli.media.image import write_image
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.pose import mapped
from fomm_cli.weights.file import save_weights
from tests.golden import golden_config, golden_model

PARTS = ("detector", "dense_motion", "generator")
NARROW = [f"model.{part}.{key}" for part in PARTS for key in ("block_expansion=8", "max_features=64")]


@pytest.fixture(scope="session")
def weights(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first golden variant."""
    path = tmp_path_factory.mktemp("export") / "tiny.safetensors"
    save_weights(path, golden_model(golden, "first_order"), golden_config(golden, "first_order"))
    return path


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def told(weights: Path) -> Told:
    """What `fomm export` says of its ONNX export, which is `exported`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["export", str(weights), "-o", str(weights.parent / "first_order"), "--json"])
    return Told(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def exported(weights: Path, told: Told) -> Path:
    """An ONNX export of the first golden variant."""
    return weights.parent / "first_order"


def blended(golden: Path) -> tuple[FirstOrderModel, Config]:
    """A golden network whose generator blends the warped source in."""
    config = golden_config(golden, "first_order")
    generator = config.model.generator.model_copy(update={"skip": "blend"})
    config = config.model_copy(update={"model": config.model.model_copy(update={"generator": generator})})
    model = FirstOrderModel(config.model, config.data.frame_shape)
    model.load_state_dict(golden_model(golden, "first_order").state_dict())
    return model.eval(), config


def equal(model: FirstOrderModel, folder: Path) -> None:
    """The export renders what the model does, for batches of any size."""
    frames = clip(model.size, 4)
    plain, other = PlainEngine(model), OnnxEngine(folder)
    assert other.size == model.size
    results = []
    for engine in (plain, other):
        encoded, source = engine.encode(frames[0]), engine.detect(frames[:1])
        results.append([engine.render(encoded, source, engine.detect(frames[:n])) for n in (1, 4)])
    for one, two in zip(*results, strict=True):
        assert one.std() > 5
        assert np.abs(one.astype(int) - two).max() <= 1


@pytest.mark.parametrize("variant", ["zero_order", "no_occlusion", "resized_flow", "non_square"])
def test_onnx_equals_torch(golden: Path, tmp_path: Path, variant: str) -> None:
    model, config = golden_model(golden, variant), golden_config(golden, variant)
    agreement = export(model, config, tmp_path / "out", clips=[clip(model.size, 2)])
    assert max(agreement.errors.values()) < 1e-4
    assert agreement.psnr > 90
    equal(model, tmp_path / "out")


def test_onnx_equals_torch_with_the_source_blended_in(golden: Path, tmp_path: Path) -> None:
    model, config = blended(golden)
    export(model, config, tmp_path / "out")
    card = json.loads((tmp_path / "out" / "export.json").read_text())
    assert "source" in [each["name"] for each in card["graphs"]["render"]["inputs"]]
    equal(model, tmp_path / "out")


def test_the_card_describes_the_graphs(exported: Path) -> None:
    card = json.loads((exported / "export.json").read_text())
    assert card["size"] == [64, 64]
    assert Config.model_validate(card["config"]).name == "first_order"
    assert card["agreement"]["psnr"] > 90
    for name, graph in card["graphs"].items():
        model = onnx.load(str(exported / graph["file"]))
        assert max(each.version for each in model.opset_import) >= 16
        for listed, real in ((graph["inputs"], model.graph.input), (graph["outputs"], model.graph.output)):
            assert [each["name"] for each in listed] == [each.name for each in real]
            for port, value in zip(listed, real, strict=True):
                shape = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
                assert len(shape) == len(port["shape"]), (name, port)
                assert (shape[0] == "batch") == (port["shape"][0] == "batch"), (name, port)
    pictures = {each["name"]: each for each in card["graphs"]["detect"]["inputs"]}["image"]
    assert pictures == {
        "name": "image",
        "shape": ["batch", 3, 64, 64],
        "dtype": "float32",
        "range": [0, 1],
        "meaning": "frames",
    }


def test_every_sampling_is_four_dimensional(exported: Path) -> None:
    model = onnx.load(str(exported / "render.onnx"))
    samplings = [node for node in model.graph.node if node.op_type == "GridSample"]
    shapes = {
        each.name: len(each.type.tensor_type.shape.dim)
        for each in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    assert len(samplings) == 2
    assert all(shapes[node.output[0]] == 4 for node in samplings)
    assert not {"If", "Loop", "Scan"} & {node.op_type for node in model.graph.node}


def test_half_precision(golden: Path, tmp_path: Path) -> None:
    model, config = blended(golden)
    agreement = export(model, config, tmp_path / "out", precision="fp16")
    assert agreement.psnr > 50
    assert 1e-5 < agreement.errors["render.prediction"] < 1e-2  # not the fp32 graph under another name
    assert agreement.errors["detect.value"] < 1e-5
    half = onnx.load(str(tmp_path / "out" / "render.onnx"))
    kinds = {each.data_type for each in half.graph.initializer if each.name.endswith("_fp16")}
    assert kinds == {onnx.TensorProto.FLOAT16}
    frames = clip(model.size, 2)
    engine = OnnxEngine(tmp_path / "out")
    pose = engine.detect(frames)
    assert engine.render(engine.encode(frames[0]), mapped(pose, lambda each: each[:1]), pose).shape == frames.shape


def test_int8_in_the_residual_blocks(golden: Path, tmp_path: Path) -> None:
    model = golden_model(golden, "first_order")
    frames = clip(model.size, 4)
    agreement = export(model, golden_config(golden, "first_order"), tmp_path / "out", precision="int8", clips=[frames])
    assert agreement.psnr > 30
    assert agreement.errors["render.prediction"] > 1e-4  # something was rounded
    graph = onnx.load(str(tmp_path / "out" / "render.onnx")).graph
    whole = [each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8 and len(each.dims) == 4]
    assert len(whole) == 2 * model.config.generator.num_bottleneck_blocks
    engine = OnnxEngine(tmp_path / "out")
    assert engine.name.startswith("onnx int8")


def test_torch_export(tmp_path: Path) -> None:
    """As shallow as a network may be: what it costs is the number of operators."""
    shallow = ["detector.num_blocks=1", "dense_motion.num_blocks=1"]
    shallow += ["generator.num_down_blocks=1", "generator.num_bottleneck_blocks=1"]
    config = configs.load(
        "toon-128", ["data.frame_shape=64", "model.num_kp=5", *NARROW, *(f"model.{key}" for key in shallow)]
    )
    agreement = export(lively(config), config, tmp_path / "out", kind="pt2")
    assert max(agreement.errors.values()) < 1e-4
    program = torch.export.load(str(tmp_path / "out" / "detect.pt2")).module()
    for count in (1, 5):
        assert program(torch.rand(count, 3, 64, 64))[0].shape == (count, 5, 2)
    with pytest.raises(FommError, match="onnxruntime cannot run"):
        OnnxEngine(tmp_path / "out")


@pytest.mark.parametrize("preset", ["toon-128", "vox-256"])
def test_presets_export(preset: str, tmp_path: Path) -> None:
    """With random weights at an eighth of the width; vox-256 at half its size, to be quick: its graphs are the same."""
    config = configs.load(preset, ["data.frame_shape=128", *NARROW])
    agreement = export(lively(config), config, tmp_path / "out")
    assert max(agreement.errors.values()) < 1e-3


def test_a_wrong_export_is_refused_and_leaves_nothing(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_format = FORMATS["onnx"]

    def spoil(graph: Graph, path: Path) -> None:
        onnx_format.writers["fp32"](graph, path)
        if path.stem == "render":
            model = onnx.load(str(path))
            weight = next(each for each in model.graph.initializer if each.name.endswith("final.bias"))
            weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 0.01, weight.name))
            onnx.save(model, str(path))

    monkeypatch.setitem(FORMATS, "onnx", onnx_format._replace(writers={"fp32": spoil}))
    with pytest.raises(FommError, match=r"render.prediction differs by"):
        export(golden_model(golden, "first_order"), golden_config(golden, "first_order"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_verify_names_the_worst_output() -> None:
    truth = np.zeros((1, 3, 4, 4))
    assert verify._error("prediction", truth + 0.5, truth) == pytest.approx(0.5)
    assert verify._error("value", truth + 0.5, truth) == pytest.approx(0.25)
    assert verify._error("prediction", truth[:, :2], truth) == np.inf
    assert verify._error("prediction", truth * np.nan, truth) != verify._error("prediction", truth, truth)


def test_a_changed_file_is_noticed(exported: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    with (copy / "detect.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(FommError, match="hash differs"):
        OnnxEngine(copy)
    (copy / "detect.onnx").unlink()
    with pytest.raises(FommError, match="missing"):
        OnnxEngine(copy)
    (copy / "export.json").write_text("{")
    with pytest.raises(FommError, match="damaged"):
        OnnxEngine(copy)
    with pytest.raises(FommError, match=r"no export\.json"):
        OnnxEngine(tmp_path)


def test_a_card_cannot_name_files_elsewhere(exported: Path, tmp_path: Path) -> None:
    card = json.loads((exported / "export.json").read_text())
    card["graphs"]["detect"]["file"] = f"../{exported.name}/detect.onnx"
    (tmp_path / "export.json").write_text(json.dumps(card))
    with pytest.raises(FommError, match="damaged"):
        OnnxEngine(tmp_path)


def test_the_command(
    weights: Path, told: Told, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told.code == 0
    assert json.loads(told.out)["psnr"] > 90
    assert "Verified on" in told.err
    assert main(["export", str(weights), "-o", str(exported)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(weights), "-o", str(tmp_path / "x"), "--format", "pt2", "--precision", "fp16"]) == 1
    assert "no export to pt2 in fp16" in capsys.readouterr().err
    assert main(["export", str(weights)]) == 2


def test_animates_in_a_process_that_cannot_import_torch(exported: Path, tmp_path: Path) -> None:
    frames = clip((64, 64), 5)
    (tmp_path / "driving").mkdir()
    for i, frame in enumerate(frames):
        write_image(tmp_path / "driving" / f"{i}.png", frame)
    write_image(tmp_path / "source.png", frames[0])
    script = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError("no " + name + " here")
sys.meta_path.insert(0, Refuse())
from fomm_cli.commands.app import main
code = main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "animate", "source.png", "driving", "-o", "out", "--weights", str(exported)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "onnx fp32 on cpu" in done.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def remove(card: dict[str, Any]) -> None:
        for part in path[:-1]:
            card = card[part]
        del card[path[-1]]

    return remove


def _size(value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.update(size=value)


def _exchanged(card: dict[str, Any]) -> None:
    card["graphs"]["detect"], card["graphs"]["encode"] = card["graphs"]["encode"], card["graphs"]["detect"]


@pytest.mark.parametrize(
    "edit",
    [
        _without("precision"), _without("format"), _without("size"), _without("config", "model"),
        _without("graphs", "encode"), _without("graphs", "render", "inputs"), _without("graphs", "detect", "outputs"),
        *(_size(value) for value in (["a", "b"], [-1, -1], [0, 0], [64, 96], [128.0, 128.5], [10**6, 10**6], [32])),
        _exchanged,
    ],
)  # fmt: skip
def test_an_edited_card_is_refused(exported: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    folder = tmp_path / "edited"
    shutil.copytree(exported, folder)
    card = json.loads((folder / "export.json").read_text())
    edit(card)
    (folder / "export.json").write_text(json.dumps(card))
    with pytest.raises(FommError, match=r"Export again|is not the graph"):
        OnnxEngine(folder, "cpu")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "null", '{"version": 2}'])
def test_what_is_no_card_is_refused(exported: Path, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "edited"
    shutil.copytree(exported, folder)
    (folder / "export.json").write_text(text)
    with pytest.raises(FommError, match="damaged"):
        OnnxEngine(folder, "cpu")

"""Weights and configs that are broken or hostile: refused with a reason, and healed where they can be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from fomm_cli.commands.app import main
from fomm_cli.config.reading import load
from fomm_cli.errors import FommError, printable
from fomm_cli.weights.file import save_weights
from fomm_cli.weights.load import init_from, load_model
from tests.engines import tiny_config, tiny_model
from tests.hub_server import HubServer


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = {name: tensor.clone() for name, tensor in tiny_model().state_dict().items()}
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    state[name].view(-1)[3] = value
    path = save_weights(tmp_path / "nan.safetensors", state, tiny_config())
    for read in (load_model, init_from):
        with pytest.raises(FommError, match="not finite") as caught:
            read(path)
        assert name in caught.value.what


def test_large_but_finite_weights_are_read(tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in tiny_model().state_dict().items()}
    name = next(name for name, tensor in state.items() if tensor.ndim == 4)
    state[name].view(-1)[:2] = torch.finfo(torch.float32).max
    assert load_model(save_weights(tmp_path / "large.safetensors", state, tiny_config()), "cpu") is not None


def test_control_characters_in_a_file_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_weights(
        tmp_path / "w.safetensors",
        tiny_model(),
        tiny_config(),
        provenance={"by": "\x1b]0;owned\x07", "who": "\u202eevil", "\u202eof": "names too"},
    )
    assert main(["weights", "info", str(path)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\u202e" not in said


def test_printable_keeps_what_is_written_in_any_language() -> None:
    for text in ("Grüße", "成田", "שלום", "a\tb\nc", "emoji 🙂"):
        assert printable(text) == text
    assert printable("a\x1b[2Jb\x00\x9b\r") == "a\\x1b[2Jb\\x00\\x9b\\r"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train:\n  num_epochs: 12\ntrain:\n  num_repeats: 3\n", "train is given twice, in lines 1 and 3"),
        ("train:\n  num_epochs: 12\n  num_epochs: 13\n", "num_epochs is given twice, in lines 2 and 3"),
        ("", "is empty"),
        ("# only words\n", "is empty"),
        ("{}\n", "is empty"),
        ("[" * 5000, "not valid YAML"),
        ("model:\n  detector:\n    pad: 1000\n", "pad"),
        ("data:\n  frame_shape: [127, 127]\n", "multiples of"),
        (f"train:\n  num_epochs: {'9' * 5000}\n", "not valid YAML"),
        ("name: 2020-13-45\n", "not valid YAML"),
        ("train:\n  lr_generator: .inf\n", "train.lr_generator"),
        ("train:\n  ema: .nan\n", "train.ema"),
        ("train:\n  scales: []\n", "train.scales"),
        ("train:\n  scales: [1, -1]\n", "train.scales"),
    ],
)
def test_configs_that_mean_something_else_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(FommError) as caught:
        load(tmp_path / "c.yaml")
    assert said in caught.value.what
    assert main(["config", "check", str(tmp_path / "c.yaml")]) == 1


def test_merge_keys_of_yaml_are_no_repetition(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("train: &t\n  num_epochs: 12\n")
    assert load(tmp_path / "c.yaml").train.num_epochs == 12


def test_a_damaged_file_of_the_hub_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub.constants as constants

    data = save_weights(tmp_path / "w.safetensors", tiny_model(), tiny_config()).read_bytes()
    with HubServer() as hub:
        hub.add("me/toon", {"model.safetensors": data})
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        )

        def fetched(*more: str) -> Path:
            assert main(["weights", "fetch", "hf://me/toon", "--json", *more]) == 0
            return Path(json.loads(capsys.readouterr().out)["path"])

        path = fetched()
        path.resolve().write_bytes(data[: len(data) // 2])
        assert fetched("--force").read_bytes() == data
        path.resolve().write_bytes(data[: len(data) // 2])
        assert fetched().read_bytes() == data, "it heals by itself"
        spoilt = bytearray(data)
        spoilt[-1] ^= 1
        path.resolve().write_bytes(bytes(spoilt))
        assert fetched("--force").read_bytes() == data

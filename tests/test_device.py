"""`auto` becomes a device that is there; another name is refused with what to do."""

from __future__ import annotations

import pytest
import torch

from fomm_cli import device
from fomm_cli.errors import FommError


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int = 0, apple: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
    monkeypatch.setattr(device, "gpu_hardware", lambda: False)


@pytest.mark.parametrize(
    ("gpus", "apple", "name", "expected"),
    [
        (0, False, "auto", "cpu"),
        (2, False, "auto", "cuda:0"),
        (0, True, "auto", "mps"),
        (2, True, "AUTO", "cuda:0"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (2, False, "cpu", "cpu"),
        (0, True, "mps", "mps"),
    ],
)
def test_names(monkeypatch: pytest.MonkeyPatch, gpus: int, apple: bool, name: str, expected: str) -> None:
    machine(monkeypatch, gpus, apple)
    assert str(device.resolve(name)) == expected


@pytest.mark.parametrize(
    ("gpus", "name", "said"),
    [
        (0, "cuda", "finds no CUDA GPU"),
        (2, "cuda:2", "torch sees 2 GPU"),
        (0, "mps", "no Apple GPU"),
        (0, "gpu", "no device 'gpu'"),
        (1, "cpu:0", "no device 'cpu:0'"),
        (1, "cuda:x", "no device 'cuda:x'"),
    ],
)
def test_refusals(monkeypatch: pytest.MonkeyPatch, gpus: int, name: str, said: str) -> None:
    machine(monkeypatch, gpus)
    with pytest.raises(FommError, match=said) as caught:
        device.resolve(name)
    assert caught.value.hint


def test_why_a_gpu_goes_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    cpu = torch.device("cpu")
    assert device.warning(cpu) is None
    monkeypatch.setattr(device, "gpu_hardware", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in str(device.warning(cpu))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "update the NVIDIA driver" in str(device.warning(cpu))
    assert device.warning(torch.device("cuda")) is None
    with pytest.raises(FommError) as caught:
        device.resolve("cuda")
    assert "driver" in caught.value.hint


def test_the_cpu_is_described() -> None:
    assert device.describe(torch.device("cpu")).startswith("cpu (")

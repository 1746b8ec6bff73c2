"""The perceptual networks, against torchvision's layers and against wrong files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from fomm_cli.errors import FommError
from fomm_cli.train import perceptual


@pytest.fixture(scope="module")
def compact_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("perceptual") / "compact.safetensors"
    save_file(perceptual.Compact().state_dict(), path)
    return path


def test_vgg19_is_torchvisions(tmp_path: Path) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    layers = make_layers(cfgs["E"])
    path = tmp_path / "vgg19.pth"
    torch.save(
        {f"features.{key}": value for key, value in layers.state_dict().items()} | {"classifier.0.bias": torch.ones(2)},
        path,
    )
    network = perceptual.load("vgg19", path)
    assert not any(parameter.requires_grad for parameter in network.parameters())

    image = torch.rand(1, 3, 32, 32)
    x = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    expected = []
    for index, layer in enumerate(layers):
        x = layer(x)
        if index in (1, 6, 11, 20, 29):
            expected.append(x.clone())
    ours = network(image)
    assert [one.shape[1] for one in ours] == [64, 128, 256, 512, 512]
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_compact_follows_its_description(compact_file: Path) -> None:
    network = perceptual.load("compact", compact_file)
    weights = network.state_dict()
    image = torch.rand(1, 3, 32, 32)

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = conv("conv0", image)
    expected = []
    for stage, count in enumerate((2, 2, 4, 4, 1), 1):
        for place in range(1, count + 1):
            x = F.relu(conv(f"conv{stage}{place}", F.pad(x, (1, 1, 1, 1), mode="reflect")))
            if place == 1:
                expected.append(F.relu(conv(f"conv{stage}1_aux", x)))
        x = F.max_pool2d(x, 2)
    for one, other in zip(network(image), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_compact_refuses_pictures_it_cannot_reflect(compact_file: Path) -> None:
    with pytest.raises(FommError, match="32 px"):
        perceptual.load("compact", compact_file)(torch.rand(1, 3, 16, 16))


def test_the_other_network_is_refused_by_name(compact_file: Path) -> None:
    with pytest.raises(FommError, match="does not hold the vgg19") as failure:
        perceptual.load("vgg19", compact_file)
    assert "perceptual_network" in failure.value.hint


def test_missing_broken_and_hostile_files(tmp_path: Path) -> None:
    with pytest.raises(FommError, match="no perceptual network at"):
        perceptual.load("compact", tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10" * 100)
    with pytest.raises(FommError, match="safetensors"):
        perceptual.load("compact", broken)
    hostile = tmp_path / "hostile.pth"
    torch.save({"features.0.weight": Path("/")}, hostile)
    with pytest.raises(FommError, match="plain tensors"):
        perceptual.load("vgg19", hostile)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address on a small server of this machine."""
    folder = tmp_path / "home"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_network_is_fetched_from_its_home_once_and_verified(
    home: tuple[Path, str], compact_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = home
    state = load_file(compact_file)
    torch.save({"epoch": 20, "model": state}, folder / "net.pth")
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "cache"))
    network = perceptual.HOMES["compact"]
    home_of = replace(network, urls=(f"{address}/net.pth",))
    monkeypatch.setitem(perceptual.HOMES, "compact", home_of)
    monkeypatch.setitem(perceptual.DIGESTS, "compact", perceptual.digest(state))
    assert perceptual.digest(perceptual.obtain("compact", None).state_dict()) == perceptual.digest(state)
    (folder / "net.pth").unlink()
    perceptual.obtain("compact", None)  # from the cache

    monkeypatch.setitem(perceptual.DIGESTS, "compact", "0" * 64)
    with pytest.raises(FommError, match="other numbers"):
        perceptual.obtain("compact", None)
    monkeypatch.setitem(perceptual.HOMES, "vgg19", replace(home_of, urls=(f"{address}/gone.pth",), file="gone.pth"))
    with pytest.raises(FommError, match="could not be downloaded") as failure:
        perceptual.obtain("vgg19", None)
    assert "--perceptual-weights" in failure.value.hint

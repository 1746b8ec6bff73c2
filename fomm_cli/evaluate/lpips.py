"""LPIPS: distance of two pictures in the features of AlexNet, weighted as people judge (Zhang et al. 2018)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fomm_cli.detectors.networks import missing
from fomm_cli.errors import FommError
from fomm_cli.files import disk, download

ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
ALEXNET_DIGEST = "7be5be79"
"""How the SHA-256 of torchvision's file begins: its publisher writes that into the name, and no more of it."""


class Lpips:
    """LPIPS v0.1 with AlexNet, as its authors' package computes it.

    network  a torch module called with two batches (B, 3, H, W) in [-1, 1] and returning (B, 1, 1, 1)
    """

    def __init__(self, network: torch.nn.Module, digest: str | None = None) -> None:
        self.network = network.eval().requires_grad_(False)
        self.digest = digest

    @torch.inference_mode()
    def __call__(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """prediction, truth (B, 3, H, W) in [0, 1]; returns (B,)."""
        return self.network(prediction * 2 - 1, truth * 2 - 1).reshape(-1)


def backbone(path: Path | None = None, say: Callable[[str], None] | None = None) -> Path:
    """torchvision's AlexNet: a given file, the cached one, or a download, checked against its published digest."""
    if path is not None:
        disk.check_payload(path, "the AlexNet weights")
        return path
    target = disk.cache_dir() / "detectors" / ALEXNET_URL.rpartition("/")[2]
    if say is not None and not target.is_file():
        say(f"Fetching AlexNet's weights (233 MiB) from {ALEXNET_URL}")
    try:
        download.fetch(ALEXNET_URL, target)
    except FommError as error:
        raise FommError(
            f"LPIPS needs AlexNet's weights, and they could not be fetched: {error.what}",
            f"Download {ALEXNET_URL} yourself and pass it with --lpips-weights FILE.",
        ) from error
    if not disk.sha256(target).startswith(ALEXNET_DIGEST):
        target.unlink()
        raise FommError(f"The file from {ALEXNET_URL} is not the published one.", "Try again later.")
    return target


def load(path: Path | None, device: torch.device, say: Callable[[str], None] | None = None) -> Lpips:
    """LPIPS with AlexNet's weights from a file, the cache or their home.

    The five small layers that weigh the features come with the package.
    """
    try:
        from lpips import LPIPS
    except ImportError:
        raise missing("lpips, which computes LPIPS,", "eval") from None
    found = backbone(path, say)
    stored = read_safely(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision in words of old
        network: Any = LPIPS(net="alex", pnet_rand=True, verbose=False)  # rand: without a download of its own
    slices = {f"{index}": f"net.slice{number}.{index}" for number, index in ((1, 0), (2, 3), (3, 6), (4, 8), (5, 10))}
    state = network.state_dict()
    for index, name in slices.items():
        for part in ("weight", "bias"):
            key = f"features.{index}.{part}"
            if key not in stored or stored[key].shape != state[f"{name}.{part}"].shape:
                raise FommError(f"{found} is not torchvision's AlexNet: {key} is not as expected.", "Check the file.")
            state[f"{name}.{part}"].copy_(stored[key])
    return Lpips(network.to(device), disk.sha256(found))


def read_safely(path: Path) -> dict[str, Tensor]:
    """A state dict out of a torch file, without running anything in it."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for files it does not like
        raise FommError(f"{path} holds no weights that can be read safely.", "Download it again.") from error
    if not isinstance(stored, dict):
        raise FommError(f"{path} holds no weights.", "Download it again.")
    return stored

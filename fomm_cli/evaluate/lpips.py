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
from fomm_cli.files import disk
from fomm_cli.files.foreign import Foreign
from fomm_cli.files.torch_file import read_tensors

ALEXNET = Foreign(
    what="AlexNet's weights (233 MiB), which LPIPS needs,",
    file="detectors/alexnet-owt-7be5be79.pth",
    urls=("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
    sha256="7be5be79",  # its publisher writes that into the name, and no more of it
    licence="BSD-3-Clause",
    flag="--lpips-weights FILE",
)
"""torchvision's."""


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


def load(path: Path | None, device: torch.device, say: Callable[[str], None] | None = None) -> Lpips:
    """LPIPS with AlexNet's weights from a file, the cache or their home.

    The five small layers that weigh the features come with the package.
    """
    try:
        from lpips import LPIPS
    except ImportError:
        raise missing("lpips, which computes LPIPS,", "eval") from None
    found = ALEXNET.find(path, say)
    stored = read_tensors(found, "AlexNet", "Download it again.")
    if not isinstance(stored, dict):
        raise FommError(f"{found} holds no weights.", "Download it again.")
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

"""The feature networks of the perceptual loss: VGG-19 in torchvision's layout, and a 16 times smaller distillation.

Both turn an image into five feature maps, standing for relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1. They are frozen:
their weights take no gradient, only the image does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.errors import FommError
from fomm_cli.files.disk import check_payload
from fomm_cli.files.foreign import Foreign
from fomm_cli.files.torch_file import read_tensors

VGG19_WIDTHS: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
"""Convolutions of VGG-19, a tuple for each stage between two poolings."""

COMPACT_WIDTHS: tuple[tuple[int, ...], ...] = ((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,))
"""Convolutions of the distilled network up to the fifth slice."""

SMALLEST = {"vgg19": 16, "compact": 32}
"""Shortest image side each network can take, in pixels."""


class Vgg19(nn.Module):
    """Layers 0 to 29 of torchvision's `vgg19().features`, each slice ending after the first ReLU of a stage.

    image    (B, 3, H, W) RGB in [0, 1]
    returns  five maps: (B, 64, H, W), (B, 128, H/2, W/2), ... (B, 512, H/16, W/16)
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.plan: list[tuple[str, bool]] = []  # (layer, whether its ReLU ends a slice); "pool" where a stage begins
        index, width = 0, 3
        for number, stage in enumerate(VGG19_WIDTHS):
            if number:
                self.plan.append(("pool", False))
                index += 1
            for position, channels in enumerate(stage):
                self.layers[str(index)] = nn.Conv2d(width, channels, 3, padding=1)
                self.plan.append((str(index), position == 0))
                index, width = index + 2, channels
                if number == len(VGG19_WIDTHS) - 1:
                    break  # nothing after relu5_1 is used
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        # The constants cannot be folded into the first convolution: its zero padding stands for the mean colour.
        x = (image - self.mean) / self.std
        slices = []
        for name, ends in self.plan:
            x = F.max_pool2d(x, 2) if name == "pool" else F.relu(self.layers[name](x), inplace=True)
            if ends:
                slices.append(x)
        return slices

    @staticmethod
    def rename(key: str) -> str | None:
        """torchvision's key -> ours; None = not used (later layers, classifier)."""
        key = key.removeprefix("features.")
        layer = key.split(".")[0]
        return f"layers.{key}" if layer.isdigit() and int(layer) <= 28 else None


class Compact(nn.Module):
    """A narrow VGG-19 with reflection padding; a 1x1 convolution widens each slice to VGG's number of channels.

    image    (B, 3, H, W) RGB in [0, 1], H and W at least 32
    returns  five maps as `Vgg19`, normalised to a mean near 1 rather than to VGG's own scale
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 3, 1)  # scale, mean and RGB -> BGR
        width = 3
        self.stages: list[list[str]] = []
        for number, stage in enumerate(COMPACT_WIDTHS, 1):
            names = []
            for position, channels in enumerate(stage, 1):
                name = f"conv{number}{position}"
                self.add_module(name, nn.Conv2d(width, channels, 3))
                names.append(name)
                width = channels
            self.add_module(f"conv{number}1_aux", nn.Conv2d(stage[0], VGG19_WIDTHS[number - 1][0], 1))
            self.stages.append(names)

    def forward(self, image: Tensor) -> list[Tensor]:
        if min(image.shape[-2:]) < SMALLEST["compact"]:
            raise FommError(
                f"The compact perceptual network needs images of 32 px or more, not {tuple(image.shape[-2:])}.",
                "Drop the smallest pyramid scales, e.g. --set train.scales=[1,0.5].",
            )
        x = self.conv0(image)
        slices = []
        for number, names in enumerate(self.stages):
            if number:
                x = F.max_pool2d(x, 2)
            for position, name in enumerate(names):
                x = F.relu(getattr(self, name)(F.pad(x, (1, 1, 1, 1), mode="reflect")), inplace=True)
                if position == 0:
                    slices.append(F.relu(getattr(self, f"{name}_aux")(x), inplace=True))
        return slices

    @staticmethod
    def rename(key: str) -> str | None:
        """Key of the published file -> ours: the names agree, but for a wrapper's prefix."""
        return key.removeprefix("module.")


def build(kind: str) -> Vgg19 | Compact:
    """The architecture, not yet filled; `kind` is `vgg19` or `compact`."""
    return Vgg19() if kind == "vgg19" else Compact()


HOMES = {
    # torchvision's VGG19_Weights.IMAGENET1K_V1; the name ends in the first digits of the file's SHA-256.
    "vgg19": Foreign(
        what="the vgg19 perceptual network, 548 MB,",
        file="perceptual/vgg19-dcbb9e9d.pth",
        urls=("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",),
        sha256="dcbb9e9d",
        licence="BSD-3-Clause",
        flag="--perceptual-weights FILE",
    ),
    # Collaborative-Distillation (Wang et al., CVPR 2020): the fifth encoder of its 16 times smaller set.
    "compact": Foreign(
        what="the compact perceptual network",
        file="perceptual/vgg19-compact.pth",
        urls=(
            "https://raw.githubusercontent.com/MingSun-Tse/Collaborative-Distillation/"
            "75c1b81c1dbea11c96d3fb04e96f207dee16dcbb/trained_models/wct_se_16x_new/20191109-211322_E20.pth",
        ),
        sha256=None,
        licence="MIT",
        flag="--perceptual-weights FILE",
    ),
}

DIGESTS = {"compact": "b919508cb27b1acc4f8b55475c38f63f11bad68b5b0019ef08c1dba05ffba8aa"}
"""Of the published tensors, see `digest`, where nothing is known of the file."""


def obtain(kind: str, path: str | Path | None) -> Vgg19 | Compact:
    """The frozen network: from a file if one is given, else from its public home by way of the cache, verified."""
    if path is not None:
        return load(kind, path)
    file = HOMES[kind].find()
    network = load(kind, file)
    if kind in DIGESTS and digest(network.state_dict()) != DIGESTS[kind]:
        raise FommError(f"{file} holds other numbers than the published network.", "Delete it and try again.")
    return network


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names and float32 values in order of the names: the same for every file format."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()


def load(kind: str, path: str | Path) -> Vgg19 | Compact:
    """The network filled from a file (.safetensors, or a torch checkpoint of plain tensors), frozen, in eval mode.

    Raises FommError: no such file, not a weights file, or keys and shapes of another network.
    """
    network = build(kind)
    wanted = network.state_dict()
    given: dict[str, Tensor] = {}
    for key, tensor in _read(Path(path)).items():
        name = network.rename(key)
        if name is not None:
            given[name] = tensor
    missing = [key for key in wanted if key not in given]
    wrong = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    unknown = [key for key in given if key not in wanted]
    if missing or wrong or unknown:
        what = "; ".join(
            f"{label}: {', '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}"
            for label, keys in (("missing", missing), ("other shape", wrong), ("unknown", unknown))
            if keys
        )
        raise FommError(
            f"{path} does not hold the {kind} perceptual network ({what}).",
            "Choose the network that the file holds with --set train.perceptual_network=vgg19 or compact.",
        )
    network.load_state_dict(given)
    return freeze(network)


def freeze(network: Vgg19 | Compact) -> Vgg19 | Compact:
    """In eval mode, channels last, without gradients for the weights."""
    return network.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FommError(
            f"There is no perceptual network at {path}.",
            "Give its file with --perceptual-weights: torchvision's vgg19 checkpoint, or the compact network.",
        )
    check_payload(path, "perceptual network")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise FommError(f"{path} is not a readable safetensors file: {error}", "Download it again.") from error
    content = read_tensors(path, "perceptual network", "Download it again.")
    if isinstance(content, dict) and len(nested := [part for part in content.values() if isinstance(part, dict)]) == 1:
        content = nested[0]  # some trainings store their state dict beside epoch and options
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise FommError(f"{path} is not a flat state dict.")
    return content

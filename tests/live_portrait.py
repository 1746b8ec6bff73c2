"""LivePortrait's reference tensors, and the networks whose weights come from a recipe instead of a file."""

from __future__ import annotations

import json
import math
import tarfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from fomm_cli.config.reading import build
from fomm_cli.config.schema import Config
from fomm_cli.model.families import FAMILIES
from fomm_cli.model.live_portrait import published
from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.live_portrait.network import LivePortraitModel
from fomm_cli.model.live_portrait.published import divided
from fomm_cli.model.live_portrait.stitching import Retargeting, Stitching
from fomm_cli.model.published import Published
from fomm_cli.weights.convert import rename
from fomm_cli.weights.pickles import Checkpoint

TINY: dict[str, Any] = {
    "num_kp": 5,
    "appearance": {"block_expansion": 16, "max_features": 64, "channels": 8, "depth": 8, "num_resblocks": 2},
    "detector": {"depths": (1, 1, 2, 1), "widths": (16, 24, 32, 48)},
    "dense_motion": {"block_expansion": 8, "max_features": 64, "num_blocks": 3},
    "generator": {"features": 64, "last": 16},
    "stitching": {"stitching": (16, 16, 8), "lip": (16, 16, 8), "eyes": (32, 32, 16, 16, 8)},
}
_GAINS = {
    ".fc_kp.weight": 0.15,
    ".fc_exp.weight": 0.02,
    ".fc_t.weight": 0.05,
    ".fc_scale.weight": 0.05,
    ".fc_pitch.weight": 2,
    ".fc_yaw.weight": 2,
    ".fc_roll.weight": 2,
    ".pwconv2.weight": 0.5,
    ".conv2.weight": 0.4,
    ".mask.weight": 1.5,
    ".conv_img.0.weight": 0.3,
}


@cache
def reference() -> Path:
    """The folder of `tiny`, `full` and `functions.safetensors`, `cases.json` and `layout.json`, unpacked once."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(Path(__file__).parent / "live_portrait.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "live_portrait"


def layout() -> dict[str, Any]:
    """Keys and shapes of the published networks, and of the tiny ones."""
    return json.loads((reference() / "layout.json").read_text())


@cache
def tensors(name: str) -> dict[str, Tensor]:
    """`tiny`, `full` or `functions`."""
    return load_file(reference() / f"{name}.safetensors")


def cases() -> list[dict[str, Any]]:
    return json.loads((reference() / "cases.json").read_text())


def published_state(size: str = "full", only: tuple[str, ...] = ()) -> dict[str, dict[str, Tensor]]:
    """Network -> key -> tensor of the recipe, in the published names; all networks of `size`, or `only` some."""
    keys = layout()["keys" if size == "full" else "keys_of_the_tiny_goldens"]
    prefix = "" if size == "full" else "tiny."
    return {network: _network(prefix, network, keys[network]) for network in only or keys}


def small_networks(state: dict[str, Tensor]) -> tuple[Stitching, Retargeting, Retargeting]:
    """Stitching, eyes and lip of the published size with these weights."""
    sizes = LivePortraitConfig().stitching
    networks = (
        Stitching(21, sizes.stitching),
        Retargeting(21, 3, sizes.eyes),
        Retargeting(21, 2, sizes.lip),
    )
    for network, name in zip(networks, ("stitching.", "eyes.", "lip."), strict=True):
        network.load_state_dict({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})
    return networks


@cache
def inputs(size: str) -> dict[str, Tensor]:
    """Pictures `source`, `driving0`, `driving1` and points `kp_source`, ... that the reference tensors belong to."""
    side, count = (64, 5) if size == "tiny" else (256, 21)
    given = {name: picture(name, side) for name in ("source", "driving0", "driving1")}
    source = _rng("points.source").uniform(-0.7, 0.7, (1, count, 3)).astype(np.float32)
    points = {"kp_source": source}
    for name in ("driving0", "driving1"):
        points[f"kp_{name}"] = source + (0.1 * normal(f"points.{name}", [1, count, 3])).astype(np.float32)
    return given | {name: torch.from_numpy(value) for name, value in points.items()}


def picture(name: str, side: int) -> Tensor:
    rng = _rng(f"image.{name}")
    f, p, a = rng.uniform(-6, 6, (3, 8, 2)), rng.uniform(0, 2 * np.pi, (3, 8)), rng.uniform(0, 0.15, (3, 8))
    y, x = np.mgrid[:side, :side] / side
    waves = np.cos(2 * np.pi * (f[..., 0, None, None] * x + f[..., 1, None, None] * y) + p[..., None, None])
    return torch.from_numpy(np.clip(0.5 + (a[..., None, None] * waves).sum(axis=1), 0, 1).astype(np.float32))[None]


@cache
def model(size: str = "tiny") -> LivePortraitModel:
    """The recipe's networks in eval mode, loaded strictly."""
    settings = config(size)
    network = LivePortraitModel(settings.model, settings.data.frame_shape)
    network.load_state_dict(our_state(published_state(size)), assign=True)
    return network.eval().requires_grad_(False)


def config(size: str = "tiny") -> Config:
    side = 64 if size == "tiny" else 256
    return build(
        {
            "name": f"live-portrait-{size}",
            "model": {"family": "live_portrait", **(TINY if size == "tiny" else {})},
            "data": {"frame_shape": [side, side]},
        }
    )


def our_state(networks: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Published networks under our names."""
    family = FAMILIES["live_portrait"]
    parts = {network: divided(tensors) for network, tensors in networks.items()}
    return rename(Checkpoint(family, cast(Published, family.published()), parts, None))[0]


def write_release(folder: Path, kind: str, size: str = "tiny") -> Path:
    """The recipe's networks as the five files of a release: `pth` (the makers' folders) or `safetensors`."""
    state = published_state(size)
    small = {name: state.pop(name) for name in published.REQUIRED if name not in published.FILES}
    if kind == "safetensors":
        folder.mkdir(parents=True, exist_ok=True)
        for name, tensors_ in state.items():
            save_file(tensors_, folder / f"{name}.safetensors")
        flat = {f"{name}_module.{key}": value for name, tensors_ in small.items() for key, value in tensors_.items()}
        save_file(flat, folder / f"{published.FILES[-1]}.safetensors")
        return folder
    base, more = folder / "liveportrait" / "base_models", folder / "liveportrait" / "retargeting_models"
    base.mkdir(parents=True)
    more.mkdir()
    for name, tensors_ in state.items():
        torch.save(tensors_, base / f"{name}.pth")
    torch.save(
        {name: {f"module.{key}": value for key, value in tensors_.items()} for name, tensors_ in small.items()},
        more / f"{published.FILES[-1]}.pth",
    )
    return folder


def face(wide: float = 0.3) -> NDArray[np.float64]:
    """68 points of a face between -1 and 1 down, eyes open by the ratio `wide` as points have it, lips twice as far."""
    points = np.random.default_rng(0).uniform(-1, 1, (68, 2)) * (0.8, 1)
    points[[0, 16, 24, 8]] = [(-0.8, 0), (0.8, 0), (0, -1), (0, 1)]
    points[[36, 39, 42, 45]] = [(-0.5, -0.3), (-0.2, -0.3), (0.2, -0.3), (0.5, -0.3)]
    upper, lower = -0.3 - 0.15 * wide, -0.3 + 0.15 * wide
    points[[37, 38, 40, 41]] = [(-0.4, upper), (-0.3, upper), (-0.3, lower), (-0.4, lower)]
    points[[43, 44, 46, 47]] = points[[37, 38, 40, 41]] + (0.7, 0)
    points[[48, 54, 62, 66]] = [(-0.3, 0.5), (0.3, 0.5), (0, 0.5 - 0.6 * wide), (0, 0.5 + 0.6 * wide)]
    return points


def normal(name: str, shape: list[int]) -> NDArray[np.float64]:
    return _rng(name).standard_normal(shape)


def _rng(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def _network(prefix: str, network: str, shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    state = {
        key: torch.from_numpy(np.array(_value(f"{prefix}{network}.{key}", shape)))
        for key, shape in shapes.items()
        if not key.endswith(("weight_u", "weight_v"))
    }
    for key in shapes:
        if key.endswith("weight_u"):
            stem = key.removesuffix("weight_u")
            matrix = state[f"{stem}weight_orig"].double().numpy().reshape(shapes[key][0], -1)
            u, v = _iterated(f"{prefix}{network}.{key}", matrix)
            state[key], state[f"{stem}weight_v"] = torch.from_numpy(u).float(), torch.from_numpy(v).float()
    return state


def _value(name: str, shape: list[int]) -> Any:
    if name.endswith("num_batches_tracked"):
        return np.int64(0)
    z = normal(name, shape)
    if name.endswith("running_mean") or name.endswith("grn.beta"):
        z = 0.1 * z
    elif name.endswith("running_var"):
        z = np.exp(0.2 * z)
    elif name.endswith("grn.gamma"):
        z = 0.5 * z
    elif name.endswith(".fc_kp.bias"):
        z = 0.3 * z
    elif name.endswith(".fc_scale.bias"):
        z = 1.3 + 0.05 * z
    elif name.endswith(".bias"):
        z = 0.05 * z
    elif len(shape) == 1:
        z = 1 + 0.1 * z
    else:
        gain = next((gain for end, gain in _GAINS.items() if name.endswith(end)), 1)
        z = gain * math.sqrt(2 / math.prod(shape[1:])) * z
    return z.astype(np.float32)


def _iterated(name: str, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two power iterations, deliberately not converged."""
    u = normal(name, [len(matrix)])
    u /= np.linalg.norm(u)
    for _ in range(2):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u, v

"""What is done to pictures here: float32 arrays (H, W, C) or (H, W), through torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from fomm_cli.model.geometry import warp

LUMA = np.array([0.3, 0.59, 0.11], np.float32)
"""Weights of red, green and blue in brightness."""


def _tensor(image: np.ndarray) -> torch.Tensor:
    deep = image if image.ndim == 3 else image[..., None]
    return torch.from_numpy(np.ascontiguousarray(deep, np.float32)).permute(2, 0, 1)[None]


def _array(tensor: torch.Tensor, like: np.ndarray) -> np.ndarray:
    array = tensor[0].permute(1, 2, 0).contiguous().numpy()
    return array if like.ndim == 3 else array[..., 0]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic, averaging where it gets smaller."""
    size = (height, width)
    return _array(F.interpolate(_tensor(image), size, mode="bicubic", antialias=True, align_corners=False), image)


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The image (H, W, C) at pixels (x, y), bilinear, its edge going on for ever: (*x.shape, C)."""
    height, width = image.shape[:2]
    where = torch.from_numpy(np.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], -1).astype(np.float32))
    flat = warp(_tensor(image), where.reshape(1, 1, -1, 2), align_corners=True, padding_mode="border")
    return flat[0, :, 0].T.numpy().reshape(*x.shape, *image.shape[2:])


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian, the edge repeated."""
    radius = max(1, round(3 * sigma))
    kernel = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    x = _tensor(image)
    channels = x.shape[1]
    for shape, pad in (((1, 1, -1, 1), (0, 0, radius, radius)), ((1, 1, 1, -1), (radius, radius, 0, 0))):
        weight = kernel.reshape(shape).repeat(channels, 1, 1, 1)
        x = F.conv2d(F.pad(x, pad, mode="replicate"), weight, groups=channels)
    return _array(x, image)


def grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """The largest value within a square of 2 radius + 1."""
    return _array(F.max_pool2d(_tensor(mask), 2 * radius + 1, 1, radius), mask)


def fill(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where `known` (H, W) is below one, the average of what is known around: push-pull, from coarse to fine."""
    known = known.astype(np.float32)
    deep = image if image.ndim == 3 else image[..., None]
    filled = _pull(_tensor(deep * known[..., None]), _tensor(known))
    return _array(filled, image)


def _pull(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    height, width = values.shape[2:]
    if min(height, width) == 1:
        return values.sum((2, 3), keepdim=True).expand_as(values) / weights.sum().clamp(min=1e-6)
    pad = (0, width % 2, 0, height % 2)
    coarse = _pull(*(F.avg_pool2d(F.pad(x, pad), 2) for x in (values, weights)))
    fine = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    return values + fine * (1 - weights.clamp(max=1))


def polygon(height: int, width: int, points: np.ndarray) -> np.ndarray:
    """Bool (H, W): the inside of a polygon (N, 2), its edge included."""
    mask = Image.new("1", (width, height))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in points], fill=1, outline=1)
    return np.asarray(mask)


def smooth(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth step between."""
    x = x.clip(0, 1)
    return x * x * (3 - 2 * x)

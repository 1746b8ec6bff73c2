"""Random changes to a pair of frames: one draw, applied to both.

A pair is uint8 (2, H, W, 3). Colours are computed in float32 and rounded once at the end, which stays within 2/255
of rounding after each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from fomm_cli.config.schema import AugmentationConfig

GREY = (0.2989, 0.587, 0.114)  # the weights of the usual colour jitter (ITU-R 601)


def augment(
    pair: np.ndarray, config: AugmentationConfig, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Flips, rotation, resize, crop, colour jitter, in this order.

    pair     uint8 (2, H, W, 3), source first
    shape    (H, W) of the result: the size of the crop
    returns  uint8 (2, *shape, 3)
    """
    if config.time_flip and rng.random() < 0.5:
        pair = pair[::-1]
    elif config.horizontal_flip and rng.random() < 0.5:  # as published: never both
        pair = pair[:, :, ::-1]
    if config.rotation:
        pair = rotate(pair, rng.uniform(-config.rotation, config.rotation))
    if config.resize is not None:
        ratio = rng.uniform(*config.resize)
        pair = resize(pair, (max(1, round(pair.shape[1] * ratio)), max(1, round(pair.shape[2] * ratio))))
    if pair.shape[1:3] != shape or config.crop is not None:
        pair = random_crop(pair, shape, rng)
    return jitter(pair, config, rng)


def resize(pair: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, anti-aliased when it shrinks; size is (H, W)."""
    if pair.shape[1:3] == size:
        return pair
    pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in pair]
    return np.stack([np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)) for picture in pictures])


def rotate(pair: np.ndarray, degrees: float) -> np.ndarray:
    """Turn about the centre, counter-clockwise; what comes into view repeats the edge."""
    height, width = pair.shape[1:3]
    margin = math.ceil((math.hypot(height, width) - min(height, width)) / 2) + 1
    wide = np.pad(pair, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = [np.asarray(Image.fromarray(frame).rotate(degrees, Image.Resampling.BILINEAR)) for frame in wide]
    return np.stack(turned)[:, margin : margin + height, margin : margin + width]


def random_crop(pair: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A window of (H, W) at a random place; a smaller frame is padded by its edge first, half on each side."""
    short = [max(0, want - have) for want, have in zip(size, pair.shape[1:3], strict=True)]
    if any(short):
        before = [gap // 2 for gap in short]
        sides = [(0, 0), *((half, gap - half) for half, gap in zip(before, short, strict=True)), (0, 0)]
        pair = np.pad(pair, sides, mode="edge")
    top = int(rng.integers(pair.shape[1] - size[0] + 1))
    left = int(rng.integers(pair.shape[2] - size[1] + 1))
    return pair[:, top : top + size[0], left : left + size[1]]


def jitter(pair: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and hue in random order, their factors drawn once for both frames."""
    steps: list[tuple[Callable[[np.ndarray, np.float32], None], float]] = []
    for change, span in (
        (brightness, config.brightness),
        (contrast, config.contrast),
        (saturation, config.saturation),
    ):
        if span:
            steps.append((change, rng.uniform(max(0.0, 1.0 - span), 1.0 + span)))
    if config.hue:
        steps.append((hue, rng.uniform(-config.hue, config.hue)))
    if not steps:
        return pair
    # Planes, since hue and saturation mix channels pixel by pixel: (3, 2, H * W), in [0, 255].
    planes = np.ascontiguousarray(pair.reshape(2, -1, 3).transpose(2, 0, 1), dtype=np.float32)
    for index in rng.permutation(len(steps)):
        change, factor = steps[index]
        change(planes, np.float32(factor))
    np.rint(planes, out=planes)
    return planes.astype(np.uint8).transpose(1, 2, 0).reshape(pair.shape)


def _grey(planes: np.ndarray) -> np.ndarray:
    grey = planes[0] * np.float32(GREY[0])
    grey += planes[1] * np.float32(GREY[1])
    grey += planes[2] * np.float32(GREY[2])
    return grey


def brightness(planes: np.ndarray, factor: np.float32) -> None:
    """x <- f x, in place. planes: float32 (3, 2, N) in [0, 255], as below."""
    planes *= factor
    np.minimum(planes, 255.0, out=planes)


def contrast(planes: np.ndarray, factor: np.float32) -> None:
    """x <- f x + (1 - f) m, m the mean grey of each frame."""
    mean = _grey(planes).mean(axis=1, keepdims=True)
    planes *= factor
    planes += (1 - factor) * mean
    np.clip(planes, 0.0, 255.0, out=planes)


def saturation(planes: np.ndarray, factor: np.float32) -> None:
    """x <- f x + (1 - f) g, g the grey of each pixel."""
    grey = _grey(planes)
    grey *= 1 - factor
    planes *= factor
    planes += grey
    np.clip(planes, 0.0, 255.0, out=planes)


def hue(planes: np.ndarray, turns: np.float32) -> None:
    """Turn the colour wheel by `turns` in [-0.5, 0.5], value and saturation kept (HSV).

    With h in sextants, V the largest and C the largest minus the smallest channel, the channel with n = 5, 3, 1 (R, G,
    B) becomes V - C clip(2 - |k - 2|, 0, 1), k = (n + h) mod 6.
    """
    red, green, blue = planes
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    scale = np.divide(np.float32(1), chroma, out=np.zeros_like(chroma), where=chroma > 0)
    sextant = np.where(
        value == red,
        (green - blue) * scale,
        np.where(value == green, (blue - red) * scale + 2, (red - green) * scale + 4),
    )
    sextant += 6 * turns - 2
    for plane, shift in zip(planes, (5, 3, 1), strict=True):
        k = sextant + np.float32(shift)
        k -= 6 * np.rint(k * np.float32(1 / 6))
        np.abs(k, out=k)
        np.subtract(2, k, out=k)
        np.clip(k, 0.0, 1.0, out=k)
        k *= chroma
        np.subtract(value, k, out=plane)

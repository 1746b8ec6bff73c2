"""Pictures between their two forms: bytes as files hold them, numbers in [0, 1] as networks take them.

One rule of rounding for the whole house: to the nearest level, ties to even.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # an exported model animates without torch
    import torch
    from torch import Tensor


def to_tensor(frames: Any, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (B, H, W, 3), an array or a tensor, to float32 (B, 3, H, W) in [0, 1] on `device`."""
    import torch

    if isinstance(frames, torch.Tensor):
        pixels = frames
    else:
        array = np.ascontiguousarray(frames)  # torch warns of memory it could not write to, hence the copy
        pixels = torch.from_numpy(array if array.flags.writeable else array.copy())
        if torch.device(device).type == "cuda":
            pixels = pixels.pin_memory()
    return scaled(pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)).contiguous()


def to_frames(pictures: Tensor) -> NDArray[np.uint8]:
    """Float (B, 3, H, W) in [0, 1] to uint8 (B, H, W, 3): what a lossless file of the pictures would hold."""
    levels = pictures.detach().float().mul(255).round_().clamp_(0, 255).byte()
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def scaled(images: Tensor) -> Tensor:
    """uint8 of any shape to float32 in [0, 1], where the images are."""
    return images.float().div_(255)


def to_planes(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`to_tensor` without torch: uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1]."""
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def from_planes(pictures: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """`to_frames` without torch: float (B, 3, H, W) in [0, 1] to uint8 (B, H, W, 3)."""
    levels = np.rint(pictures.transpose(0, 2, 3, 1) * 255)
    return np.clip(levels, 0, 255).astype(np.uint8)


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error between pictures in [0, 1]; infinite where none differs.

    The mean belongs over all frames of a clip: a single identical frame, as the first one of a copied clip is, would
    make a mean of ratios infinite.
    """
    return math.inf if mean_squared_error == 0 else -10 * math.log10(mean_squared_error)

"""Any picture to one size without stretching it."""

from __future__ import annotations

import numpy as np
from PIL import Image


def fit(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest centred window of the wanted shape, resized with anti-aliasing.

    frame    uint8 (H, W, 3)
    size     (H, W) wanted
    returns  uint8 (*size, 3); the frame itself where it fits already
    """
    height, width = frame.shape[:2]
    if (height, width) == size:
        return frame
    scale = min(height / size[0], width / size[1])
    tall, wide = size[0] * scale, size[1] * scale
    left, top = (width - wide) / 2, (height - tall) / 2
    box = (left, top, left + wide, top + tall)
    return np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BICUBIC, box=box))

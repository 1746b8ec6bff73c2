"""Frames of a clip in blocks, at the size of the evaluation, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fomm_cli.data.clips import Clip, ClipRef
from fomm_cli.errors import FommError
from fomm_cli.media.image import fit
from fomm_cli.model.pixels import to_tensor

BLOCK_BYTES = 256 * 2**20
"""Of decoded frames read in one go: some layouts decode a whole clip to reach one frame, so few large reads."""


def blocks(clip: Clip, size: tuple[int, int] | None, start: int = 0) -> Iterator[np.ndarray]:
    """uint8 (n, H, W, 3), all frames from `start` on, each cropped around its centre and resized to `size` if given."""
    height, width = clip.size
    step = max(1, BLOCK_BYTES // (height * width * 3))
    for begin in range(start, len(clip), step):
        frames = clip.frames(range(begin, min(begin + step, len(clip))))
        wanted = size or frames[0].shape[:2]
        if size is None and any(frame.shape[:2] != (height, width) for frame in frames):
            raise FommError(f"{clip.path} has frames of different sizes.", "Give --size, or repack the clip.")
        yield np.stack([fit(frame, (wanted[0], wanted[1])) for frame in frames])


def batches(
    clip: Clip, size: tuple[int, int] | None, batch: int, device: torch.device, start: int = 0
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """(uint8 (n, H, W, 3), the same as float (n, 3, H, W) in [0, 1] on the device), n at most `batch`."""
    for block in blocks(clip, size, start):
        for begin in range(0, len(block), batch):
            frames = np.ascontiguousarray(block[begin : begin + batch])
            yield frames, to_tensor(frames, device)


def opened(ref: ClipRef) -> Clip:
    """The clip, with at least the two frames that a reconstruction needs."""
    clip = ref.open()
    if len(clip) < 2:
        clip.close()
        raise FommError(f"{ref.path} has a single frame: there is no motion to measure.")
    return clip

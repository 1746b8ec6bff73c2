"""Bilinear sampling of a map with many channels, as a weighted sum of rows.

The warp of the generator's features reads four neighbours of 256 channels for every output pixel. With the channels of
a pixel side by side that is a gather of four rows with four weights, which PyTorch has as an embedding bag: on a CPU it
takes a tenth of the time of `grid_sample` or less, leaves channels_last alone, and the occlusion map rides along in the
weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rows(features: Tensor) -> Tensor:
    """Features (1, C, H, W) as a table (H * W, C), one row a pixel."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).contiguous()


def gather(table: Tensor, size: tuple[int, int], flow: Tensor, weight: Tensor | None, align_corners: bool) -> Tensor:
    """`geometry.warp` with zero padding, times a weight a pixel.

    table    (H * W, C): of `rows`
    size     (H, W)
    flow     (B, h, w, 2): xy in [-1, 1]
    weight   (B, 1, h, w) or None
    returns  (B, C, h, w), channels_last
    """
    height, width = size
    left, right, low_x, high_x = _neighbours(flow[..., 0], width, align_corners)
    top, bottom, low_y, high_y = _neighbours(flow[..., 1], height, align_corners)
    index = torch.stack(
        (top * width + left, top * width + right, bottom * width + left, bottom * width + right), dim=-1
    )
    share = torch.stack((low_y * low_x, low_y * high_x, high_y * low_x, high_y * high_x), dim=-1)
    if weight is not None:
        share = share * weight.permute(0, 2, 3, 1)
    picked = F.embedding_bag(index.view(-1, 4), table, per_sample_weights=share.view(-1, 4).to(table), mode="sum")
    batch, h, w, _ = flow.shape
    return picked.view(batch, h, w, table.shape[1]).permute(0, 3, 1, 2)


def _neighbours(position: Tensor, size: int, align_corners: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two pixels around each position of one axis and their shares; a pixel outside has share 0."""
    pixel = (position + 1) * ((size - 1) / 2) if align_corners else (position + 1) * (size / 2) - 0.5
    pixel = pixel.clamp(-2, size + 1)  # far outside is as good as just outside, and fits into an integer
    floor = pixel.floor()
    high = pixel - floor
    first = floor.to(torch.int32)
    second = first + 1
    low = torch.where((first >= 0) & (first < size), 1 - high, 0)
    high = torch.where((second >= 0) & (second < size), high, 0)
    return first.clamp(0, size - 1), second.clamp(0, size - 1), low, high

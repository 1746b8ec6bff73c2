"""Blocks and coordinates of volumes (B, C, D, H, W): the depth is never halved.

Points are xyz in [-1, 1], x right, y down, z into the picture; voxel i of N lies at 2 i / (N - 1) - 1 on every axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.model.blocks import Norm
from fomm_cli.model.geometry import warp


class SameBlock(nn.Module):
    """3x3x3 convolution, batch norm, ReLU: (B, C, D, H, W) to (B, out, D, H, W)."""

    def __init__(self, channels: int, out: int, norm: Norm = nn.BatchNorm3d) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out, 3, padding=1)
        self.norm = norm(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class DownBlock(SameBlock):
    """The block, then the mean of 2x2 within each slice: (B, C, D, H, W) to (B, out, D, H/2, W/2)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool3d(super().forward(x), (1, 2, 2))


class UpBlock(SameBlock):
    """Nearest doubling within each slice, then the block: (B, C, D, H, W) to (B, out, D, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"))


class ResBlock(nn.Module):
    """x + conv(ReLU(BN(conv(ReLU(BN(x)))))), the norm before the convolution; width and size stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(inner)))


def axis(size: int, like: Tensor) -> Tensor:
    """Coordinates of `size` voxels along an axis; (size,)."""
    return torch.linspace(-1, 1, size, device=like.device, dtype=like.dtype)


def coordinate_grid(size: Sequence[int], like: Tensor) -> Tensor:
    """The identity map of a volume of size (D, H, W); (D, H, W, 3), xyz."""
    z, y, x = torch.meshgrid(*(axis(side, like) for side in size), indexing="ij")
    return torch.stack((x, y, z), dim=-1)


def gaussians(points: Tensor, size: Sequence[int], variance: float) -> Tensor:
    """exp(-|z - p|^2 / (2 variance)) of points (B, K, 3) over a volume of size (D, H, W); (B, K, D, H, W)."""
    # A product of one row an axis: K (D + H + W) exponentials, not K D H W.
    x, y, z = (
        torch.exp(-(axis(side, points) - points[..., place, None]).square() / (2 * variance))
        for place, side in enumerate(reversed(size))
    )
    return z[..., :, None, None] * (y[..., :, None] * x[..., None, :])[..., None, :, :]


def warped(volume: Tensor, flow: Tensor) -> Tensor:
    """The volume (B or 1, C, D, H, W) where flows (B, D, H, W, 3) say, as `geometry.warp` samples it."""
    if torch.onnx.is_in_onnx_export() and volume.shape[0] == 1:
        return gathered(volume, flow)  # ONNX samples volumes from opset 20 on, and not every runtime does
    return warp(volume.expand(flow.shape[0], -1, -1, -1, -1), flow, align_corners=False)


def gathered(volume: Tensor, flow: Tensor) -> Tensor:
    """`warped` of one volume by its eight nearest voxels, in operators that every runtime has."""
    channels, *sides = volume.shape[1:]
    sides.reverse()  # of x, y, z, as in a flow
    voxels = volume.reshape(channels, -1)
    near = []  # of each axis: (voxel, weight) of the lower and the upper neighbour
    for axis, side in enumerate(sides):
        position = ((flow[..., axis] + 1) * side - 1) / 2
        pair = [position.floor(), position.floor() + 1]
        shares = [(1 - (position - at).abs()) * ((at >= 0) & (at <= side - 1)).to(flow.dtype) for at in pair]
        near.append([(at.clamp(0, side - 1), share) for at, share in zip(pair, shares, strict=True)])
    parts = [
        voxels[:, ((z * sides[1] + y) * sides[0] + x).long()] * (in_z * in_y * in_x)  # (C, B, D, H, W)
        for (x, in_x), (y, in_y), (z, in_z) in product(*near)
    ]
    return torch.stack(parts).sum(dim=0).transpose(0, 1)


def shifted(volume: Tensor, shifts: Tensor) -> Tensor:
    """The volume under flows z -> z + shift, sampled as `geometry.warp` does with align_corners=False.

    On a regular grid a shift is the same for all voxels of a row, so that trilinear sampling is one small matrix an
    axis: three products instead of eight gathered corners a voxel.

    volume   (B or 1, C, D, H, W)
    shifts   (B, K, 3): xyz, in the units of points
    returns  (B, K, C, D, H, W); zero where a flow looks outside
    """
    batch, count = shifts.shape[:2]
    channels, depth, height, width = volume.shape[1:]
    x = _sampling(shifts[..., 0], width)  # (B, K, W, W)
    y = _sampling(shifts[..., 1], height)
    z = _sampling(shifts[..., 2], depth)
    rows = volume.flatten(1, 3).unsqueeze(1) @ x.transpose(-1, -2)  # (B, K, C D H, W)
    columns = y.unsqueeze(2) @ rows.unflatten(2, (channels * depth, height))  # (B, K, C D, H, W)
    slices = z.unsqueeze(2) @ columns.reshape(batch, count, channels, depth, height * width)
    return slices.unflatten(4, (height, width))


def _sampling(shift: Tensor, size: int) -> Tensor:
    """The matrix (..., size, size) that takes values at voxels to values at shifted voxels along one axis."""
    voxels = torch.arange(size, device=shift.device, dtype=shift.dtype)
    # Coordinates count corner voxels' centres as -1 and 1, the sampler their outer edges: the trained convention.
    looked_at = ((axis(size, shift) + 1 + shift.unsqueeze(-1)) * size - 1) / 2
    return (1 - (looked_at.unsqueeze(-1) - voxels).abs()).clamp(min=0)

"""Coordinates and maps between them: pure functions.

A grid's pixel i of W lies at 2 i / (W - 1) - 1, so -1 and 1 are the centres of the corner pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def coordinate_grid(height: int, width: int, like: Tensor) -> Tensor:
    """The identity map.

    like     a tensor whose device and dtype to take
    returns  (height, width, 2): xy in [-1, 1]
    """
    y = torch.linspace(-1, 1, height, device=like.device, dtype=like.dtype) if height > 1 else like.new_zeros(1)
    x = torch.linspace(-1, 1, width, device=like.device, dtype=like.dtype) if width > 1 else like.new_zeros(1)
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)


def warp(image: Tensor, flow: Tensor, align_corners: bool, padding_mode: str = "zeros") -> Tensor:
    """Sample an image where a flow says; the only caller of `grid_sample`.

    With align_corners=True, -1 and 1 mean the centres of the corner pixels, as in `coordinate_grid`: the identity grid
    returns the image. With False they mean the outer corners of those pixels, and the identity grid moves the picture.

    image    (B, C, H, W), or a volume (B, C, D, H, W)
    flow     (B, h, w, 2): xy in [-1, 1], x right, y down; of a volume (B, d, h, w, 3): xyz
    returns  (B, C, h, w) or (B, C, d, h, w)
    """
    return F.grid_sample(image, flow, mode="bilinear", padding_mode=padding_mode, align_corners=align_corners)


def warp_shared(image: Tensor, flow: Tensor, align_corners: bool) -> Tensor:
    """`warp`, where an image of batch 1 is shared by all flows without being copied.

    image    (B or 1, C, H, W)
    flow     (B, h, w, 2)
    returns  (B, C, h, w)
    """
    batch, height, width, _ = flow.shape
    if image.shape[0] == batch:
        return warp(image, flow, align_corners)
    tall = warp(image, flow.reshape(1, batch * height, width, 2), align_corners)  # (1, C, B*h, w)
    return tall.reshape(-1, batch, height, width).transpose(0, 1)


def warp_candidates(small: Tensor, flows: Tensor, align_corners: bool) -> Tensor:
    """The source under each candidate flow, sampled through one tall grid instead of K+1 copies of the source.

    small    (B or 1, C, h, w)
    flows    (B, K+1, h, w, 2)
    returns  (B, K+1, C, h, w)
    """
    batch, num, height, width, _ = flows.shape
    if small.shape[0] == 1:  # one source for all: the batch goes into the tall grid too
        tall = warp(small, flows.reshape(1, -1, width, 2), align_corners)
        return tall.reshape(-1, batch, num, height, width).permute(1, 2, 0, 3, 4)
    tall = warp(small, flows.reshape(batch, -1, width, 2), align_corners)
    return tall.unflatten(2, (num, height)).transpose(1, 2)


def resize(maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear resize of maps (B, C, h, w) to size (H, W).

    align_corners   whether corner pixels keep their places; most published models resize without, whatever their warps
    """
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)


def resize_flow(flow: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """As `resize`, for a flow (B, h, w, 2)."""
    if tuple(flow.shape[1:3]) == tuple(size):
        return flow
    return resize(flow.permute(0, 3, 1, 2), size, align_corners).permute(0, 2, 3, 1)


def heatmap_mean(heatmap: Tensor, values: Tensor) -> Tensor:
    """The mean of maps of values under each heat map (soft-argmax when the values are the grid).

    heatmap  (B, K, h, w): each sums to 1
    values   (h, w, V), or (B, K or 1, V, h, w)
    returns  (B, K, V)
    """
    if values.dim() == 3:
        return torch.einsum("bkhw,hwv->bkv", heatmap, values)
    return (heatmap.unsqueeze(2) * values).sum(dim=(3, 4))


def gaussians(points: Tensor, height: int, width: int, variance: float) -> Tensor:
    """exp(-|z - p|^2 / (2 variance)) over the grid.

    points   (B, K, 2)
    returns  (B, K, height, width), 1 at the point
    """
    # A Gaussian of the squared distance is a product of one row and one column: K (h + w) exponentials, not K h w.
    x = torch.linspace(-1, 1, width, device=points.device, dtype=points.dtype)
    y = torch.linspace(-1, 1, height, device=points.device, dtype=points.dtype)
    row = torch.exp(-(x - points[..., 0:1]).square() / (2 * variance))
    column = torch.exp(-(y - points[..., 1:2]).square() / (2 * variance))
    return column.unsqueeze(3) * row.unsqueeze(2)


def inverse_2x2(matrix: Tensor) -> Tensor:
    """The inverse of (..., 2, 2) matrices in closed form: exports everywhere and never waits for the device."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    rows = torch.stack((torch.stack((d, -b), dim=-1), torch.stack((-c, a), dim=-1)), dim=-2)
    return rows / determinant[..., None, None]


def product_2x2(left: Tensor, right: Tensor) -> Tensor:
    """left @ right for (..., 2, 2) matrices, as sums of products: autocast would run a matmul in low precision."""
    return (left.unsqueeze(-1) * right.unsqueeze(-3)).sum(dim=-2)


def apply_2x2(matrix: Tensor, points: Tensor) -> Tensor:
    """matrix @ point for (..., 2, 2) and (..., 2)."""
    return (matrix * points.unsqueeze(-2)).sum(dim=-1)


class SmoothTransform(NamedTuple):
    """T(z) = theta[:, :2] z + theta[:, 2] + tps(z): an affine map plus a thin-plate bend, the same added to x and y.

    tps(z) is the sum over control points c of weight_c * r^2 log(r + 1e-6), where r is the L1 distance |z - c|.

    theta      (B, 2, 3)
    weights    (B, P * P): of the control points, row by row, x fastest, over [-1, 1]; None bends nothing
    euclidean  tps(z) is the sum of weight_c * q log(q + 1e-9) instead, where q is the squared Euclidean distance
    """

    theta: Tensor
    weights: Tensor | None
    euclidean: bool = False

    @classmethod
    def draw(
        cls,
        batch: int,
        sigma_affine: float,
        sigma_tps: float,
        points: int,
        like: Tensor,
        generator: torch.Generator | None,
        euclidean: bool = False,
    ) -> SmoothTransform:
        """A random one: theta is the identity plus N(0, sigma_affine), the weights are N(0, sigma_tps).

        Numbers are drawn where `generator` lives and then moved, so that a seed gives the same map on every device.
        """
        where = generator.device if generator is not None else torch.device("cpu")
        noise = torch.randn(batch, 2, 3, generator=generator, device=where).to(like)
        identity = torch.eye(2, 3, device=like.device, dtype=like.dtype)
        theta = identity + sigma_affine * noise
        if sigma_tps == 0:
            return cls(theta, None, euclidean)
        weights = torch.randn(batch, points * points, generator=generator, device=where).to(like)
        return cls(theta, sigma_tps * weights, euclidean)

    def rows(self, span: slice) -> SmoothTransform:
        """Those of some of the batch."""
        return self._replace(theta=self.theta[span], weights=None if self.weights is None else self.weights[span])

    def points(self, points: Tensor) -> Tensor:
        """T of points (B or 1, N, 2); returns (B, N, 2)."""
        moved = apply_2x2(self.theta[:, None, :, :2], points) + self.theta[:, None, :, 2]
        if self.weights is not None:
            bend = self._bend(points.unsqueeze(2) - self._control(points))  # (B, N, P*P)
            if points.shape[0] == 1:  # one set of points for all maps: the bends are one product of two matrices
                moved = moved + (bend[0] @ self.weights.T).T.unsqueeze(2)
            else:
                moved = moved + (bend * self.weights.unsqueeze(1)).sum(dim=-1, keepdim=True)
        return moved

    def jacobian(self, points: Tensor) -> Tensor:
        """dT/dz at points (B, N, 2), in closed form, of the L1 kind; returns (B, N, 2, 2)."""
        assert not self.euclidean
        matrix = self.theta[:, None, :, :2].expand(-1, points.shape[1], -1, -1)
        if self.weights is None:
            return matrix
        offset = points.unsqueeze(2) - self._control(points)  # (B, N, P*P, 2)
        distance = offset.abs().sum(dim=-1)
        slope = 2 * distance * torch.log(distance + 1e-6) + distance.square() / (distance + 1e-6)
        gradient = ((slope * self.weights.unsqueeze(1)).unsqueeze(-1) * offset.sign()).sum(dim=2)  # (B, N, 2)
        return matrix + gradient.unsqueeze(-2)  # the same bend on x and y: two equal rows

    def frame(self, image: Tensor, align_corners: bool) -> Tensor:
        """The image resampled by T, reflected at the borders: (B, C, H, W) to the same."""
        height, width = image.shape[2:]
        grid = coordinate_grid(height, width, self.theta).reshape(1, -1, 2)
        with torch.autocast(image.device.type, enabled=False):
            flow = self.points(grid).reshape(-1, height, width, 2)
        return warp(image, flow.to(image.dtype), align_corners, padding_mode="reflection")

    def _bend(self, offset: Tensor) -> Tensor:
        if self.euclidean:
            squared = offset.square().sum(dim=-1)
            return squared * torch.log(squared + 1e-9)
        distance = offset.abs().sum(dim=-1)
        return distance.square() * torch.log(distance + 1e-6)

    def _control(self, like: Tensor) -> Tensor:
        assert self.weights is not None
        side = round(self.weights.shape[1] ** 0.5)
        return coordinate_grid(side, side, like).reshape(1, 1, -1, 2)

"""Thin-plate splines through five points each (eq. 2 of arXiv 2203.14367), and the flows they stand for."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomm_cli.model.geometry import coordinate_grid, gaussians
from fomm_cli.model.thin_plate.pose import SPLINE

REGULARISER = 0.01
"""Added to the whole diagonal of a spline's system. The splines miss their points by it, and the published weights were
trained with what it does: it is part of the model.
"""


class Splines(NamedTuple):
    """T(z) = theta[:, :2] z + theta[:, 2] + sum over i of control_i U(|z - point_i|^2): driving to source.

    theta    (B, K, 2, 3)
    control  (B, K, 5, 2)
    points   (B, K, 5, 2): of the driving pose
    """

    theta: Tensor
    control: Tensor
    points: Tensor

    def on_grid(self, height: int, width: int) -> Tensor:
        """T of every pixel: (B, K, height, width, 2)."""
        grid = coordinate_grid(height, width, like=self.points)
        offset_x = grid[0, :, 0] - self.points[..., 0:1]  # (B, K, 5, width)
        offset_y = grid[:, 0, 1] - self.points[..., 1:2]  # (B, K, 5, height)
        bends = radial(offset_x.square().unsqueeze(3) + offset_y.square().unsqueeze(4))  # (B, K, 5, height, width)
        bent = bends.flatten(3).transpose(2, 3) @ self.control  # (B, K, height * width, 2)
        linear = grid.reshape(-1, 2) @ self.theta[..., :2].transpose(2, 3)
        moved = linear + self.theta[..., 2].unsqueeze(2) + bent
        return moved.reshape(-1, self.points.shape[1], height, width, 2)


def radial(squared: Tensor) -> Tensor:
    """U(q) = q log(q + 1e-9) of a squared Euclidean distance q."""
    return squared * torch.log(squared + 1e-9)


def fit(source: Tensor, driving: Tensor) -> Splines:
    """The splines that carry the driving points near the source's.

    source   (B or 1, 5K, 2): five points a spline
    driving  (B, 5K, 2)
    """
    count = driving.shape[1] // SPLINE
    points = driving.reshape(-1, count, SPLINE, 2)
    targets = source.reshape(-1, count, SPLINE, 2).expand_as(points)
    distances = (points.unsqueeze(3) - points.unsqueeze(2)).square().sum(dim=-1)
    affine = F.pad(points, (0, 1), value=1.0)  # (B, K, 5, 3)
    upper = torch.cat((radial(distances), affine), dim=-1)
    system = torch.cat((upper, F.pad(affine.transpose(2, 3), (0, 3))), dim=2)
    system = system + REGULARISER * torch.eye(SPLINE + 3, dtype=points.dtype, device=points.device)
    solved = solve(system, F.pad(targets, (0, 0, 0, 3)))
    return Splines(solved[..., SPLINE:, :].transpose(2, 3), solved[..., :SPLINE, :], points)


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """matrix^-1 right by Gauss-Jordan elimination with pivoting.

    Unrolled into plain operations: it exports to any format, waits for no device and has the same gradient everywhere.
    The pivots matter: the system is indefinite, with 0.01 on the diagonal of its block of zeros.

    matrix   (..., n, n)
    right    (..., n, m)
    returns  (..., n, m)
    """
    size = matrix.shape[-1]
    rows = torch.arange(size, device=matrix.device).unsqueeze(1)
    table = torch.cat((matrix, right), dim=-1)
    used = torch.zeros_like(rows, dtype=torch.bool)
    pivots = []
    for _ in range(size):
        column, table = table[..., :1], table[..., 1:]
        chosen = torch.where(used, -1, column.detach().abs()).argmax(dim=-2, keepdim=True)
        pivot = rows == chosen  # (..., n, 1), one row each
        weight = pivot.to(table.dtype)
        row = (weight * table).sum(dim=-2, keepdim=True) / (weight * column).sum(dim=-2, keepdim=True)
        table = torch.where(pivot, row, table - column * row)
        used = used | pivot
        pivots.append(weight)
    return torch.cat([(weight * table).sum(dim=-2, keepdim=True) for weight in pivots], dim=-2)


def candidates(source: Tensor, driving: Tensor, height: int, width: int, background: Tensor | None) -> Tensor:
    """Where each candidate looks in the source.

    source      (B or 1, 5K, 2)
    driving     (B, 5K, 2)
    background  (B, 3, 3), driving to source; None is the identity
    returns     (B, K+1, height, width, 2); candidate 0 is the background
    """
    moved = fit(source, driving).on_grid(height, width)
    grid = coordinate_grid(height, width, like=moved)
    if background is None:
        still = grid.expand_as(moved[:, :1])
    else:
        carried = grid.reshape(-1, 2) @ background[:, :2, :2].transpose(1, 2) + background[:, None, :2, 2]
        still = carried.reshape(-1, 1, height, width, 2)
    return torch.cat((still, moved), dim=1)


def evidence(source: Tensor, driving: Tensor, height: int, width: int, variance: float) -> Tensor:
    """Where each point lies in the driving frame against where it lay in the source.

    returns  (B, 5K+1, height, width): the difference of two Gaussians, 0 for the background, which is first
    """
    difference = gaussians(driving, height, width, variance) - gaussians(source, height, width, variance)
    return torch.cat((difference.new_zeros(difference.shape[0], 1, height, width), difference), dim=1)

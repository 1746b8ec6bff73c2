"""Heat maps to covariances, covariances to axes and Gaussians: pure functions, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.geometry import coordinate_grid, product_2x2

_TINY = 1e-24
"""Added to squares before a root, whose slope at 0 is infinite; far below one ulp of any region that can be seen."""
_FLOOR = 1e-10
"""No region is thinner than the root of this, a hundredth of a pixel of the largest picture: its inverse is finite."""


def covariance(heatmap: Tensor, mean: Tensor) -> Tensor:
    """Sum of H (z - m)(z - m)^T over the grid z.

    heatmap  (B, K, h, w): each sums to 1
    mean     (B, K, 2)
    returns  (B, K, 2, 2)
    """
    height, width = heatmap.shape[2:]
    # H does not factor, but the offsets do: rows and columns suffice, and no (B, K, h, w, 2, 2) is ever made.
    grid = coordinate_grid(height, width, like=heatmap)
    x = grid[0, :, 0] - mean[..., 0:1]  # (B, K, w)
    y = grid[:, 0, 1] - mean[..., 1:2]  # (B, K, h)
    across, down = heatmap.sum(dim=2), heatmap.sum(dim=3)
    xx = (across * x.square()).sum(dim=-1)
    yy = (down * y.square()).sum(dim=-1)
    xy = ((heatmap * x.unsqueeze(2)).sum(dim=3) * y).sum(dim=-1)
    return torch.stack((xx, xy, xy, yy), dim=-1).unflatten(-1, (2, 2))


def principal_axes(matrix: Tensor) -> Tensor:
    """A = U sqrt(S) of symmetric (..., 2, 2) matrices C = U S U^T, the larger eigenvalue first: A A^T = C.

    The published networks were trained on LAPACK's singular vectors, and the disentanglement network knows their signs.
    LAPACK turns a matrix by one Householder reflection before its 2x2 rotation, which makes U symmetric, of determinant
    -1, and its first column (x, y) of x <= 0 where a^2 + 2 b^2 >= a d, of y >= 0 elsewhere.
    """
    a, b, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    delta = (a - d) / 2
    rho = (delta.square() + b.square() + _TINY).sqrt()
    larger = ((a + d) / 2 + rho).clamp(min=_FLOOR)
    smaller = ((a * d - b.square()) / larger).clamp(min=_FLOOR)
    # Of the two formulas for the axis the one that adds instead of cancelling.
    wide = delta >= 0
    x, y = torch.where(wide, rho + delta, b), torch.where(wide, b, rho - delta)
    length = (x.square() + y.square() + _TINY).sqrt()
    length = torch.where(torch.where(a.square() + 2 * b.square() >= a * d, -x, y) < 0, -length, length)
    p, q, long, short = x / length, y / length, larger.sqrt(), smaller.sqrt()
    return torch.stack((p * long, q * short, q * long, -p * short), dim=-1).unflatten(-1, (2, 2))


def squared(axes: Tensor) -> Tensor:
    """A A^T of (..., 2, 2) axes: the covariance of a region with these."""
    return product_2x2(axes, axes.transpose(-1, -2))


def ellipses(points: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """exp(-1/2 (z - p)^T C^-1 (z - p)) over the grid z.

    points   (B, K, 2)
    matrix   (B, K, 2, 2), symmetric
    returns  (B, K, height, width), 1 at the point
    """
    grid = coordinate_grid(height, width, like=points)
    x = (grid[0, :, 0] - points[..., 0:1]).unsqueeze(-2)  # (B, K, 1, w)
    y = (grid[:, 0, 1] - points[..., 1:2]).unsqueeze(-1)  # (B, K, h, 1)
    a, b, d = (matrix[..., row, column, None, None] for row, column in ((0, 0), (0, 1), (1, 1)))
    determinant = (a * d - b.square()).clamp(min=_FLOOR * _FLOOR)
    distance = (d * x.square() - 2 * b * x * y + a * y.square()) / determinant
    return torch.exp(-0.5 * distance.clamp(min=0))  # rounding may make a flat region's distance negative

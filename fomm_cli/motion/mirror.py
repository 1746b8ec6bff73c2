"""Which points are left and which right: a detector's points have no names, but a mirrored picture tells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def partners(points: NDArray[Any], flipped: NDArray[Any]) -> tuple[tuple[int, ...], float]:
    """(partner, residual): for each point the one whose mirror image lies where it is seen in mirrored pictures.

    points, flipped   (F, K, 2), of some frames and of the same frames mirrored, in units of [-1, 1]
    residual          root mean square distance of the pairs
    """
    mirrored = points.astype(np.float64) * (-1, 1)
    cost = np.square(mirrored[:, :, None] - flipped[:, None]).sum(axis=-1).mean(axis=0)
    where = assignment(cost)
    partner = [0] * len(where)
    for point, other in enumerate(where):
        partner[other] = point
    return tuple(partner), float(np.sqrt(cost[np.arange(len(where)), where].mean()))


def assignment(cost: NDArray[np.float64]) -> list[int]:
    """A column for each row of a square matrix, each taken once, of the least sum (the Hungarian method, O(n^3))."""
    count = len(cost)
    rows, columns = np.zeros(count + 1), np.zeros(count + 1)  # potentials; column 0 is a place to start from
    taken = np.zeros(count + 1, dtype=int)  # the row, from 1, that has each column
    for row in range(1, count + 1):
        taken[0], column = row, 0
        least, before = np.full(count + 1, np.inf), np.zeros(count + 1, dtype=int)
        done = np.zeros(count + 1, dtype=bool)
        while taken[column]:
            done[column] = True
            slack = cost[taken[column] - 1] - rows[taken[column]] - columns[1:]
            better = ~done[1:] & (slack < least[1:])
            least[1:][better], before[1:][better] = slack[better], column
            following = int(np.where(done[1:], np.inf, least[1:]).argmin()) + 1
            step = least[following]
            rows[taken[done]] += step
            columns[done] -= step
            least[~done] -= step
            column = following
        while column:
            taken[column] = taken[before[column]]
            column = int(before[column])
    found = [0] * count
    for column in range(1, count + 1):
        found[taken[column] - 1] = column - 1
    return found

"""The head model laid over 68 points of a picture: pose, identity and expression, then a smooth field for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fomm_cli.data.portraits.head import BROWS, EYES, JAW, LIPS, NOSE, HeadModel

ROUNDS = 12
_NOISE = 0.12  # cm: how far a point may lie from the model before coefficients pay for it
_RIDGE_IDENTITY, _RIDGE_EXPRESSION = 1.2, 5.0
_FITTED = (
    *("jawOpen", "mouthSmile", "mouthFrown", "mouthPucker", "mouthStretch", "mouthUpperUp", "mouthLowerDown"),
    *("browDown", "browInnerUp", "browOuterUp", "eyeBlink", "eyeWide", "mouthClose", "mouthPress"),
)


class Fit(NamedTuple):
    """A head in a picture: a vertex v of the model lies at `scale * rotation @ v + (shift, 0)`.

    scale       pixels a cm
    rotation    (3, 3), onto x right, y down, z to the viewer (a reflection: the model's y is up)
    shift       (2,) pixels
    identity    (30,) standard deviations
    expression  (43,) 0..1.2, zero where an expression took no part
    residual    (68, 2) pixels, points less model
    """

    scale: float
    rotation: np.ndarray
    shift: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    residual: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) cm -> pixels."""
        return self.turn(points) + np.array([*self.shift, 0])

    def turn(self, offsets: np.ndarray) -> np.ndarray:
        """Displacements (..., 3) cm -> pixels."""
        return self.scale * (offsets @ self.rotation.T)

    @property
    def angles(self) -> np.ndarray:
        """Yaw, pitch and roll in degrees."""
        r = self.rotation
        return np.degrees(
            [np.arctan2(r[0, 2], r[2, 2]), np.arcsin(np.clip(r[2, 1], -1, 1)), np.arctan2(r[1, 0], r[0, 0])]
        )


def _weights() -> np.ndarray:
    weights = np.ones(68)
    for part, weight in ((JAW, 0.25), (BROWS, 0.7), (NOSE, 1.0), (EYES[0], 2.0), (EYES[1], 2.0), (LIPS, 1.6)):
        weights[part] = weight
    return weights


def fit(model: HeadModel, points: np.ndarray) -> Fit:
    """Alternates between the pose, in closed form, and the coefficients, by ridge regression.

    points  (68, 2) pixels
    """
    weights, columns = _weights(), model.columns(*_FITTED)
    neutral = model.neutral[model.landmarks].astype(float)
    modes = np.concatenate([model.identities, model.expressions[columns]])[:, model.landmarks].astype(float)
    people = len(model.identities)
    ridge = np.r_[np.full(people, _RIDGE_IDENTITY), np.full(len(columns), _RIDGE_EXPRESSION)]
    found = np.zeros(len(modes))
    for _ in range(ROUNDS):
        shape = neutral + np.tensordot(found, modes, 1)
        scale, rotation, shift = _pose(shape, points, weights)
        target = points - shift - scale * (neutral @ rotation[:2].T)
        basis = (scale * (modes @ rotation[:2].T)).reshape(len(modes), -1)
        found = _coefficients(basis, target.ravel(), np.repeat(weights, 2) / (_NOISE * scale) ** 2, ridge, people)
    shape = neutral + np.tensordot(found, modes, 1)
    expression = np.zeros(len(model.names))
    expression[columns] = found[people:]
    residual = points - shift - scale * (shape @ rotation[:2].T)
    return Fit(scale, rotation, shift, found[:people], expression, residual)


def _pose(shape: np.ndarray, points: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Weak perspective: the nearest scaled rotation to the affine map of least squares."""
    middle, target = (np.average(x, axis=0, weights=weights) for x in (shape, points))
    root = np.sqrt(weights)[:, None]
    affine = np.linalg.lstsq((shape - middle) * root, (points - target) * root, rcond=None)[0].T
    u, sizes, v = np.linalg.svd(affine, full_matrices=False)
    two = u @ v
    third = np.cross(two[0], two[1])
    rotation = np.stack([*two, third if third[2] > 0 else -third])
    scale = float(sizes.mean())
    return scale, rotation, target - scale * two @ middle


def _coefficients(
    basis: np.ndarray, target: np.ndarray, weights: np.ndarray, ridge: np.ndarray, people: int
) -> np.ndarray:
    """Ridge least squares; expressions below zero are taken out and the rest is solved again."""
    normal, right = (basis * weights) @ basis.T + np.diag(ridge), (basis * weights) @ target
    free = np.ones(len(basis), bool)
    for _ in range(6):
        found = np.zeros(len(basis))
        found[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
        negative = (found < 0) & (np.arange(len(found)) >= people)
        if not negative.any():
            break
        free &= ~negative
    return np.r_[found[:people].clip(-3, 3), found[people:].clip(0, 1.2)]


def smooth_field(places: np.ndarray, moves: np.ndarray, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    """A field through `moves` at `places`, both (N, 2) pixels, fading to nothing 16 cm away.

    The kernel is -|r|, conditionally positive definite: its ridge must be positive, or the field tears.
    """
    angles = np.arange(16) / 16 * 2 * np.pi
    anchors = places.mean(0) + 16 * scale * np.stack([np.cos(angles), np.sin(angles)], 1)
    centres = np.concatenate([places, anchors])
    count = len(centres)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = np.eye(count) * 0.05 - np.linalg.norm(centres[:, None] - centres, axis=-1) / scale
    system[count, :count] = system[:count, count] = 1
    values = np.zeros((count + 1, 2))
    values[: len(moves)] = moves
    solved = np.linalg.solve(system, values)

    def field(points: np.ndarray) -> np.ndarray:
        squares = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * points @ centres.T
        return solved[count] - np.sqrt(squares.clip(0)) / scale @ solved[:count]

    return field

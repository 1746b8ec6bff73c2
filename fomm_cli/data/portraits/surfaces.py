"""Surfaces that wear the picture: their vertices, what expressions do to them, and how far the head carries them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fomm_cli.data.portraits import images
from fomm_cli.data.portraits.head import BROWS, EYES, LIPS, SKIN, HeadModel

FACE = 130.0
"""Pixels of the working picture from the top of the forehead to the chin."""


class UnfitError(Exception):
    """This portrait cannot be moved well; the message says why."""


class Surface(NamedTuple):
    """Vertices that wear the picture.

    points     (V, 3) at rest
    worn       (V, 2): where in the picture their colour is
    moves      (43, V, 3): where each expression takes them
    follow     (V,): how much the head carries them, the body the rest
    triangles  (N, 3)
    """

    points: np.ndarray
    worn: np.ndarray
    moves: np.ndarray
    follow: np.ndarray
    triangles: np.ndarray


def surface(
    points: np.ndarray, worn: np.ndarray, moves: np.ndarray, follow: np.ndarray, triangles: np.ndarray
) -> Surface:
    """Only the vertices in use."""
    used, numbered = np.unique(triangles, return_inverse=True)
    return Surface(
        points[used].astype(np.float32),
        worn[used, :2].astype(np.float32),
        np.ascontiguousarray(moves[:, used]),
        follow[used].astype(np.float32),
        numbered.reshape(triangles.shape),
    )


def follow_head(landmarks: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 on the head, falling along the neck; beside the jaw lie shoulders, which hardly follow."""
    chin, jaw = landmarks[8, 1], landmarks[[4, 12], 0]
    half, middle = (jaw[1] - jaw[0]) / 2, jaw.mean()
    along = 1 - images.smooth((y - chin - 0.02 * FACE) / (0.5 * FACE))
    aside = images.smooth((np.abs(x - middle) - half) / (1.2 * half))
    return along * (1 - 0.8 * aside * images.smooth((y - landmarks[57, 1]) / (0.35 * FACE)))


def toward_viewer(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,): how much each vertex faces the viewer."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(flat[:, k], 3), minlength=len(points)) for k in range(3)], 1
    )
    facing = total[:, 2] / np.linalg.norm(total, axis=1).clip(1e-6)
    return facing if np.median(facing[:6706]) > 0 else -facing


def face_triangles(model: HeadModel, vertices: np.ndarray, landmarks: np.ndarray, scale: float) -> np.ndarray:
    """The triangles of the face that look at the viewer, with all of eyes and mouth, up to the forehead."""
    triangles = model.triangles["narrow"]
    skin = np.concatenate([model.triangles["face"], model.triangles["head"]])
    facing = toward_viewer(vertices[SKIN], skin)[triangles].mean(1)
    middle = vertices[triangles].mean(1)[:, :2]
    near = np.zeros(len(triangles), bool)
    for part, reach in ((EYES[0], 0.8), (EYES[1], 0.8), (LIPS, 1.1)):
        near |= np.linalg.norm(middle[:, None] - landmarks[part], axis=-1).min(1) < reach * scale
    kept = ((facing > 0.28) | near) & (middle[:, 1] > landmarks[BROWS, 1].min() - 2.3 * scale)
    chosen = triangles[kept]
    edges = np.linalg.norm(vertices[chosen][:, [1, 2, 0], :2] - vertices[chosen][..., :2], axis=-1)
    if edges.max() > 15:
        raise UnfitError(f"the fitted face is torn: an edge of {edges.max():.0f} px")
    return chosen

"""Where a head is cut out for LivePortrait, and how open its eyes and lips are, from 68 points or from a face box.

The published code crops by landmarks of networks that are not for commercial use (InsightFace); its rule takes any set
of points that spans a face, 68 too. Whether the crops are of equal size is not settled: on the one published crop that
can be held against its picture the original's side was 0.885 of ours, with the same centre and angle. The published
demo lets the scale be anything from 1.8 to 3.2, so both lie well within what the networks know.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.boxes import Edges
from fomm_cli.detectors.networks import NETWORKS
from fomm_cli.detectors.protocol import PointDetector
from fomm_cli.errors import FommError


class Framing(NamedTuple):
    """How much of a picture a crop shows.

    scale   side of the square, in longer sides of the box around all points
    shift   of its centre, in sides, down the face's axis; below 0 shows more forehead
    turned  whether the square stands on the face's axis; else upright
    """

    scale: float
    shift: float
    turned: bool


SOURCE = Framing(2.3, -0.125, turned=True)
DRIVING = Framing(2.2, -0.1, turned=False)


class Rectangle(NamedTuple):
    """A square in a picture, maybe turned; whole numbers are centres of pixels.

    angle   of its x axis, radians, towards y
    """

    x: float
    y: float
    side: float
    angle: float

    def matrix(self, size: int) -> NDArray[np.float64]:
        """Picture to the crop of `size` pixels a side; (2, 3)."""
        k = size / self.side
        cos, sin = k * np.cos(self.angle), k * np.sin(self.angle)
        return np.array(
            [
                [cos, sin, size / 2 - cos * self.x - sin * self.y],
                [-sin, cos, size / 2 + sin * self.x - cos * self.y],
            ]
        )

    def edges(self) -> Edges:
        """left, top, right, bottom of the same square upright."""
        half = self.side / 2
        return self.x - half, self.y - half, self.x + half, self.y + half


def from_points(points: NDArray[np.floating], framing: Framing) -> Rectangle:
    """The square around 68 points (68, 2) of a face."""
    points = np.asarray(points, dtype=np.float64)
    eyes = (points[36] + points[39] + points[42] + points[45]) / 4
    down = (points[48] + points[54]) / 2 - eyes
    length = np.linalg.norm(down)
    down = down / length if length >= 1e-3 else np.array([0.0, 1.0])
    across = np.array([down[1], -down[0]])
    axes = np.stack([across, down])  # its rows: rectangle's axes in the picture
    inside = points @ axes.T
    low, high = inside.min(axis=0), inside.max(axis=0)
    side = framing.scale * float((high - low).max())
    x, y = (low + high) / 2 @ axes + framing.shift * side * down
    angle = float(np.arctan2(across[1], across[0])) if framing.turned else 0.0
    return Rectangle(float(x), float(y), side, angle)


def from_face(face: Edges, framing: Framing) -> Rectangle:
    """The square around a face box from brow to chin, upright: where there are no points.

    Fitted against 68 points of 27 pictures: their box is 0.79 of the face box's longer side (deviation 8 %), its middle
    0.18 of that below (0.065).
    """
    longer = 0.79 * max(face[2] - face[0], face[3] - face[1])
    side = framing.scale * longer
    x, y = (face[0] + face[2] - 1) / 2, (face[1] + face[3] - 1) / 2
    return Rectangle(x, y + 0.18 * longer + framing.shift * side, side, 0.0)


class Finder:
    """Looks for the largest face of a picture, and for its points where there is a network for them.

    find_face  the face box of a frame, or None
    landmarks  None: boxes alone
    """

    def __init__(self, find_face: Callable[[NDArray[np.uint8]], Edges | None], landmarks: PointDetector | None) -> None:
        self.find_face = find_face
        self.landmarks = landmarks

    def find(self, frame: NDArray[np.uint8], framing: Framing) -> Rectangle | None:
        """The square to cut out; None where there is no face."""
        if self.landmarks is not None:
            points = self.landmarks.points(frame)
            return None if points is None else from_points(points - 0.5, framing)  # theirs count from the outer edge
        face = self.find_face(frame)
        return None if face is None else from_face(face, framing)


def open_finder(detector: Path | None = None) -> Finder:
    """By the house's two networks, fetched where they are not here; without that for points by the face box alone.

    detector   the file of the network that finds faces, None = the bundled one
    """
    from fomm_cli.detectors.choice import largest_face

    return finder_of(largest_face(NETWORKS["face-box"].find(detector)))


def finder_of(find: Callable[[NDArray[np.uint8]], Edges | None]) -> Finder:
    """By the network for points on the face that `find` sees; by its box alone where that cannot be had."""
    from fomm_cli.detectors.faces import FaceLandmarks

    try:
        return Finder(find, FaceLandmarks(NETWORKS["face-landmarks"].find(), find))
    except FommError:  # not here, and not to be had: the box does nearly as well
        return Finder(find, None)


LIDS = 0.94
"""How open an eye looks to 68 points, which measure at thirds of it, against the published ones at its middle."""


def ratios(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """How open the left eye, the right eye and the lips are, (3,): height over width; left and right of the picture.

    Eyes 0.25 to 0.35 open, below 0.05 shut; lips below 0.01 closed, 0.6 wide open.
    """

    def apart(a: int, b: int) -> float:
        return float(np.linalg.norm(points[a] - points[b]))

    def eye(corner: int, upper: int, lower: int) -> float:
        height = (apart(upper, lower) + apart(upper + 1, lower - 1)) / 2
        return height / (apart(corner, corner + 3) + 1e-6) / LIDS

    return np.array([eye(36, 37, 41), eye(42, 43, 47), apart(62, 66) / (apart(48, 54) + 1e-6)])

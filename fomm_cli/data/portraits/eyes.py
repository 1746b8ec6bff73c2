"""An eye as a sphere with an iris, coloured as the picture shows it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fomm_cli.data.portraits import images

_RINGS = 5
_PUPIL = np.array([0.05, 0.04, 0.04])


class Eye(NamedTuple):
    """One eyeball.

    centre  (3,) and radius in working pixels
    axis    (3,) unit: where it looks in the picture
    iris    its radius as a share of the eyeball's
    rings   (5, 3) colours of the iris from the pupil outwards
    white   (3,)
    glint   (2,) in iris radii
    shine   brightness of the glint
    """

    centre: np.ndarray
    radius: float
    axis: np.ndarray
    iris: float
    rings: np.ndarray
    white: np.ndarray
    glint: np.ndarray
    shine: float

    def paint(self, toward: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """Colours (N, 3) of points of the sphere.

        toward  (N, 3) unit vectors from its centre, in the axes of the head at rest
        gaze    (3, 3) turns the eye
        """
        axis = gaze @ self.axis
        across = np.cross([0.0, 1.0, 0.0], axis)
        across /= np.linalg.norm(across)
        place = toward @ np.stack([across, np.cross(axis, across)], 1) / self.iris
        radius = np.where(toward @ axis > 0, np.linalg.norm(place, axis=1), 9.0)
        rank = (radius / 0.9 * _RINGS - 0.5).clip(0, _RINGS - 1)
        low = np.floor(rank).astype(int)
        part = (rank - low)[:, None]
        iris = self.rings[low] * (1 - part) + self.rings[np.minimum(low + 1, _RINGS - 1)] * part
        iris = iris * (1 - 0.35 * images.smooth((radius - 0.75) / 0.25))[:, None]
        iris = _mix(iris, _PUPIL, images.smooth((0.42 - radius) / 0.12))
        white = self.white * (0.72 + 0.28 * (1.15 - 1.3 * np.abs(toward[:, :1])).clip(0, 1))
        colour = _mix(white, iris, images.smooth((1.06 - radius) / 0.16))
        glint = images.smooth((0.30 - np.linalg.norm(place - self.glint, axis=1)) / 0.2) * (radius < 1)
        return _mix(colour, np.full(3, self.shine), 0.6 * glint)


def _mix(under: np.ndarray, over: np.ndarray, share: np.ndarray) -> np.ndarray:
    return under + (over - under) * share[:, None]


def read_eye(
    picture: np.ndarray, centre: np.ndarray, radius: float, iris: np.ndarray, lids: np.ndarray, light: float
) -> Eye:
    """Measures an eye.

    picture  (H, W, 3)
    centre   (3,) and radius of the fitted eyeball
    iris     (5, 2): its middle, then four points of its rim
    lids     (6, 2)
    light    luminance of the skin
    """
    middle = iris[0]
    rim = float(np.linalg.norm(iris[1:] - middle, axis=1).mean())
    offset = ((middle - centre[:2]) / radius).clip(-0.7, 0.7)
    axis = np.array([*offset, np.sqrt(max(0.1, 1 - offset @ offset))])
    open_ = images.polygon(picture.shape[0], picture.shape[1], lids)
    y, x = np.nonzero(open_)
    colours, distance = picture[y, x], np.hypot(x - middle[0], y - middle[1]) / rim
    bright = colours @ images.LUMA
    white = _white(colours[distance > 1.15], bright[distance > 1.15], light)
    glint = np.array([-0.25, -0.35])
    near = np.flatnonzero(distance < 0.9)
    if len(near) > 5:
        spot = near[bright[near].argmax()]
        if bright[spot] > np.median(bright[near]) + 0.2:
            glint = (np.array([x[spot], y[spot]]) - middle) / rim
    return Eye(
        centre,
        radius,
        axis / np.linalg.norm(axis),
        float(np.clip(rim / radius, 0.40, 0.60)),
        _rings(colours, distance),
        white,
        glint.clip((-0.5, -0.5), (0.5, 0.3)),
        min(1.0, 1.5 * light),
    )


def _white(colours: np.ndarray, bright: np.ndarray, light: float) -> np.ndarray:
    """The brighter part of what is beside the iris, never much darker than the skin."""
    white = np.full(3, 1.05 * light)
    if len(colours) > 6:
        white = colours[bright >= np.percentile(bright, 40)].mean(0)
    return (white * max(1.0, 0.75 * light / max(float(white.mean()), 0.05))).clip(0, 0.92)


def _rings(colours: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Colours from the pupil to the rim, below the median so that glints stay out."""
    rings = [np.array([0.12, 0.10, 0.09])]
    for ring in range(_RINGS):
        inside = (distance >= 0.9 * ring / _RINGS) & (distance < 0.9 * (ring + 1) / _RINGS)
        rings.append(np.percentile(colours[inside], 45, axis=0) if inside.sum() > 2 else rings[-1])
    return np.stack(rings[1:])

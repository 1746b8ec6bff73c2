"""A figure drawn: moved, rasterised with one z-buffer at twice the size, and coloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fomm_cli.data import toon
from fomm_cli.data.portraits import images
from fomm_cli.data.portraits.figure import Figure
from fomm_cli.data.portraits.raster import Hits, rasterise
from fomm_cli.data.portraits.surfaces import FACE

_PIVOT = np.array([0, -5.5, -0.5])  # cm: where the head turns on the neck
_GAZE = (0.45, 0.32)  # radians of a full glance
_OVER = 2  # samples a pixel and axis


@dataclass(frozen=True)
class Look:
    """What stays the same in a clip.

    middle   (2,) and side: the frame in the working picture
    camera   (frames, 3): its wandering, shift in sides and zoom
    body     how far the torso follows the head: shift, yaw, roll, scale
    lamp     (3,) unit direction of a light fixed in the room, and its strength
    tissue   (4, 3) colours of socket, gums, upper and lower teeth
    fading   how fast the mouth darkens inwards, 1/cm, of (socket and gums, teeth)
    """

    middle: np.ndarray
    side: float
    camera: np.ndarray
    body: tuple[float, float, float, float]
    lamp: np.ndarray
    strength: float
    tissue: np.ndarray
    fading: tuple[float, float]


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3), axes x right, y down, z to the viewer; signs as of `toon.Motion`."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ about_x @ about_y


@dataclass(frozen=True)
class _Step:
    """One rigid motion: x -> scale * turn (x - pivot) + pivot + shift."""

    turn: np.ndarray
    pivot: np.ndarray
    scale: float
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        moved = (points - self.pivot) @ (self.scale * self.turn.T) + (self.pivot + self.shift)
        return moved.astype(np.float32)


class Stage:
    """Draws frames of one figure with one look."""

    def __init__(self, figure: Figure, look: Look, size: int) -> None:
        self.figure, self.look, self.side = figure, look, size * _OVER
        self._surfaces = (*figure.skin, figure.mouth)
        offsets = np.cumsum([0, *(len(surface.points) for surface in self._surfaces)])
        self._vertices = offsets
        self._triangles = np.concatenate([s.triangles + o for s, o in zip(self._surfaces, offsets, strict=False)])
        self._skin_triangles = sum(len(surface.triangles) for surface in figure.skin)
        self._worn = np.concatenate([surface.worn for surface in figure.skin])
        matte = images.sample(figure.matte[..., None], self._worn[:, 0], self._worn[:, 1])[:, 0]
        edge = matte[self._triangles[: self._skin_triangles]]
        # The fringe of the matte shows only where nothing solid is.
        self._bias = np.zeros(len(self._triangles), np.float32)
        self._bias[: self._skin_triangles][edge.min(1) < 0.95] = -1e4
        # What is in the mouth never comes through a cheek, nor its walls through the teeth.
        deep = np.array([-1.0, -0.7, -0.4, -0.4], np.float32) * figure.fit.scale
        self._bias[self._skin_triangles :] = deep[figure.tissue[figure.mouth.triangles[:, 0]]]
        self._normals = self._ellipsoid(np.concatenate([surface.points for surface in figure.skin]))
        self._mouth = self._mouth_colours()

    def _ellipsoid(self, points: np.ndarray) -> np.ndarray:
        """(V, 4): normals of an ellipsoid around the head, and how much of its light a point takes."""
        fit = self.figure.fit
        centre = fit.place(np.array([0, 0, 1.0]))
        flat = (points[:, :2] - centre[:2]) / (fit.scale * np.array([9, 12]))
        square = (flat**2).sum(1).clip(0, 0.95)
        flat *= np.sqrt(square / (flat**2).sum(1).clip(1e-6))[:, None]
        lit = (1 - (points[:, 1] - self.figure.chin) / 40).clip(0, 1)
        return np.concatenate([flat, np.sqrt(1 - square)[:, None], lit[:, None]], 1)

    def _mouth_colours(self) -> np.ndarray:
        figure, tissue = self.figure, self.figure.tissue
        lips = figure.fit.scale
        behind = ((self._lip_depth() - figure.mouth.points[:, 2]) / lips - 0.9).clip(0, 12)
        hard = tissue >= 2
        shade = np.exp(-np.where(hard, self.look.fading[1], self.look.fading[0]) * behind)
        aside = np.abs(figure.mouth.points[:, 0] - figure.landmarks[62, 0]) / lips
        shade *= np.where(hard, 1 - 0.8 * images.smooth((aside - 1.9) / 0.8), 1)  # cheeks shade the row's sides
        return (self.look.tissue[tissue] * shade[:, None]).astype(np.float32)

    def _lip_depth(self) -> float:
        lips = self.figure.landmarks[[62, 66]].mean(0)
        face = self.figure.skin[1].points
        return float(face[np.linalg.norm(face[:, :2] - lips, axis=1).argsort()[:20], 2].mean())

    def frames(self, expressions: np.ndarray, motion: toon.Motion) -> list[np.ndarray]:
        """(S, S, 4) each, at twice the size: colour, not multiplied, and coverage.

        expressions  (frames, 43)
        """
        rest = expressions - self.figure.rest
        moved = [
            (rest @ s.moves.reshape(len(s.moves), -1)).reshape(len(rest), -1, 3) + s.points for s in self._surfaces
        ]
        values = {name: value.numpy() for name, value in vars(motion).items()}
        return [
            self._frame([m[t] for m in moved], {name: value[t] for name, value in values.items()}, t)
            for t in range(len(rest))
        ]

    def _frame(self, points: list[np.ndarray], m: dict, t: int) -> np.ndarray:
        head, body = self._steps(m)
        placed = []
        for surface, moved in zip(self._surfaces, points, strict=True):
            at = head(moved)
            loose = np.flatnonzero(surface.follow < 1)
            if len(loose):
                follow = surface.follow[loose, None]
                at[loose] = follow * at[loose] + (1 - follow) * body(moved[loose])
            placed.append(at)
        screen = self._project(np.concatenate(placed), t)
        hits = rasterise(screen, self._triangles, self.side, self.side, self._bias)
        canvas = np.zeros((self.side * self.side, 4), np.float32)
        skin = hits.where(hits.triangle < self._skin_triangles)
        canvas[skin.pixel] = self._wear(skin, head.turn)
        inside = hits.where(hits.triangle >= self._skin_triangles)
        canvas[inside.pixel, :3] = inside.take(self._triangles - self._vertices[3], self._mouth)
        canvas[inside.pixel, 3] = 1
        for side in (0, 1):
            self._eye(canvas, hits, screen, side, head, m, t)
        return canvas.reshape(self.side, self.side, 4)

    def place(self, points: np.ndarray, motion: toon.Motion, t: int) -> np.ndarray:
        """Where points of the head at rest (N, 2) of the working picture come to lie: (N, 2) samples of frame t."""
        face = self.figure.skin[1].points
        nearest = np.linalg.norm(face[:, None, :2] - points, axis=-1).argmin(0)
        head, _ = self._steps({name: value[t].numpy() for name, value in vars(motion).items()})
        return self._project(head(np.concatenate([points, face[nearest, 2:]], 1)), t)[:, :2]

    def _steps(self, m: dict) -> tuple[_Step, _Step]:
        look, fit = self.look, self.figure.fit
        shift = np.array([*(m["shift"] * look.side / 2), 0])
        pivot = fit.place(_PIVOT)
        head = _Step(turn(0.9 * m["yaw"], 0.8 * m["pitch"], m["roll"]), pivot, float(m["scale"]), shift)
        along, yaw, roll, scale = look.body
        below = np.array([pivot[0], self.figure.chin + 1.1 * FACE, pivot[2] - 10])
        body = _Step(
            turn(yaw * m["yaw"], 0, roll * m["roll"]), below, 1 + scale * (float(m["scale"]) - 1), along * shift
        )
        return head, body

    def _project(self, points: np.ndarray, t: int) -> np.ndarray:
        """Working pixels to samples of the frame, pixel centres at whole numbers."""
        x, y, zoom = self.look.camera[t]
        side = self.look.side * (1 + zoom)
        middle = self.look.middle + np.array([x, y]) * self.look.side
        offset = np.array([*middle, 0]) - np.array([0.5, 0.5, 0]) * side * (1 - 1 / self.side)
        return ((points - offset) * (self.side / side)).astype(np.float32)

    def _wear(self, skin: Hits, turned: np.ndarray) -> np.ndarray:
        n, look = self._normals, self.look
        light = 1 + look.strength * n[:, 3] * ((n[:, :3] @ turned.T - n[:, :3]) @ look.lamp)
        worn = np.concatenate([self._worn, light[:, None]], 1).astype(np.float32)
        at = skin.take(self._triangles, worn)
        layers = np.concatenate([self.figure.colour, self.figure.matte[..., None]], 2)
        found = images.sample(layers, at[:, 0], at[:, 1])
        found[:, :3] *= at[:, 2:]
        return found

    def _eye(self, canvas: np.ndarray, hits: Hits, screen: np.ndarray, side: int, head: _Step, m: dict, t: int) -> None:
        """The eyeball where it lies before what is drawn, or where nothing is: the corners of the opening."""
        eye = self.figure.eyes[side]
        centre = self._project(head(eye.centre[None]), t)[0]
        radius = eye.radius * head.scale * self.side / (self.look.side * (1 + self.look.camera[t][2]))
        reach = int(1.3 * radius) + 1
        x, y = np.meshgrid(
            np.arange(max(0, int(centre[0]) - reach), min(self.side, int(centre[0]) + reach + 1)),
            np.arange(max(0, int(centre[1]) - reach), min(self.side, int(centre[1]) + reach + 1)),
        )
        pixel = (y * self.side + x).ravel()
        depth = self._depth(hits, screen, pixel)
        toward = np.stack([(x.ravel() - centre[0]) / radius, (y.ravel() - centre[1]) / radius], 1)
        square = (toward**2).sum(1)
        front = np.sqrt((1 - square).clip(0))
        seen = np.where(square < 1, centre[2] + radius * front > depth, False)
        seen |= (depth == -np.inf) & (square < 1.6)
        if not seen.any():
            return
        toward = np.concatenate([toward, front[:, None]], 1)[seen]
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        gaze = turn(_GAZE[0] * m["gaze"][0], _GAZE[1] * m["gaze"][1], 0)
        colour = eye.paint(toward @ head.turn, gaze)
        place = pixel[seen]
        # The lid's shadow: the first row below it.
        shadow = max(1, round(0.09 * radius))
        under = ~np.isin(place - shadow * self.side, place)
        colour[under] *= 0.62
        canvas[place, :3], canvas[place, 3] = colour, 1

    def _depth(self, hits: Hits, screen: np.ndarray, pixel: np.ndarray) -> np.ndarray:
        """(N,) of what is seen in some pixels, minus infinity where nothing is."""
        at = np.searchsorted(hits.pixel, pixel).clip(None, len(hits.pixel) - 1)
        hit = hits.pixel[at] == pixel
        found = np.full(len(pixel), -np.inf, np.float32)
        found[hit] = hits.where(at[hit]).take(self._triangles, screen[:, 2:])[:, 0]
        return found

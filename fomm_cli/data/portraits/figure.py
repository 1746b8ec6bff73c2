"""A portrait made ready to move: layers, their depth, and what every expression does to them.

Lengths are pixels of the working picture, in which the face is FACE pixels from the top of the forehead to the chin;
depths too, growing towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fomm_cli.data.portraits import images
from fomm_cli.data.portraits.eyes import Eye, read_eye
from fomm_cli.data.portraits.fit import Fit, fit, smooth_field
from fomm_cli.data.portraits.geometry import (
    BROWS,
    DRAWN,
    EYEBALLS,
    EYES,
    GUMS,
    INNER_LIPS,
    LANDMARKS_OF_478,
    LIPS,
    SKIN,
    SOCKET,
    TEETH_LOWER,
    TEETH_UPPER,
    HeadModel,
    head_model,
)
from fomm_cli.data.portraits.raster import rasterise

FACE = 130.0
CELL = 3.0  # of the grid that carries hair, neck and torso
_SIDES, _ABOVE, _BELOW = 0.8, 0.15, 0.6  # room around the picture, in shares of its width or height
_EARS = 1.0  # cm: the depth of the ears, where the outline of a head is
_CROWN, _CHIN = 10, 152  # of the 478 points
LUMA = np.array([0.3, 0.59, 0.11], np.float32)


class UnfitError(Exception):
    """This portrait cannot be moved well; the message says why."""


class Portrait(NamedTuple):
    """What is known of a picture before it is fitted.

    picture  uint8 (H, W, 3)
    points   (478, 3) of MediaPipe's face mesh, in pixels of the picture
    matte    uint8 (H, W): how much of a pixel is the person
    """

    picture: np.ndarray
    points: np.ndarray
    matte: np.ndarray


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


@dataclass(frozen=True)
class Figure:
    """Everything drawing needs.

    colour      (H, W, 3) of the person, carried on behind their outline
    matte       (H, W)
    backdrop    (H, W, 3): the picture without the person
    landmarks   (68, 2)
    fit         of the head model
    rest        (43,): the picture's own expression of mouth and brows
    skin        surfaces that wear the picture: the grid, the face in front of it, the back of the head behind it
    mouth       socket, gums, teeth
    tissue      (V,) of mouth: 0 socket, 1 gums and tongue, 2 upper teeth, 3 lower teeth
    eyes        left in the picture, right
    light       luminance of the skin
    teeth       (3,) their colour where the picture shows it, else None
    inner       left, top, right, bottom of the picture itself, without the room around it
    """

    colour: np.ndarray
    matte: np.ndarray
    backdrop: np.ndarray
    landmarks: np.ndarray
    fit: Fit
    rest: np.ndarray
    skin: tuple[Surface, Surface, Surface]
    mouth: Surface
    tissue: np.ndarray
    eyes: tuple[Eye, Eye]
    light: float
    teeth: np.ndarray | None
    grey: bool
    inner: tuple[float, float, float, float]

    @property
    def chin(self) -> float:
        return float(self.landmarks[8, 1])


def prepare(portrait: Portrait) -> Figure:
    """Fits and lifts a portrait; raises UnfitError."""
    model = head_model()
    picture, matte, points, inner = _working(portrait)
    landmarks = points[LANDMARKS_OF_478, :2].astype(float)
    found = fit(model, landmarks)
    _check(found, landmarks, matte)
    shape = model.neutral + np.tensordot(found.identity, model.identities, 1)
    vertices = found.place(shape + np.tensordot(found.expression, model.expressions, 1))
    _settle(vertices, model, found)
    moves = _moves(model, found, landmarks)
    face = _face(model, vertices, landmarks, found.scale)
    grid = _Grid(model, vertices, moves, landmarks, matte, face, found)
    follow = _follow(landmarks, vertices[SKIN, 0], vertices[SKIN, 1])
    front = _surface(vertices, vertices, moves, follow, face)
    teeth = model.triangles["teeth"]
    teeth = teeth[model.neutral[teeth, 2].min(1) > 7.6]  # molars would stand in the corners like bars
    inside = np.concatenate([model.triangles["mouth"], model.triangles["gums"], teeth])
    everywhere = np.ones(DRAWN)
    kinds = np.zeros(DRAWN, np.int64)
    for kind, part in enumerate((SOCKET, GUMS, TEETH_UPPER, TEETH_LOWER)):
        kinds[part] = kind
    colour = np.where((matte > 0.6)[..., None], picture, images.fill(picture, matte > 0.9)).clip(0, 1)
    light = _skin_light(picture, landmarks)
    return Figure(
        colour=colour.astype(np.float32),
        matte=matte,
        backdrop=_backdrop(picture, matte),
        landmarks=landmarks,
        fit=found,
        rest=np.where([name.startswith("eye") for name in model.names], 0, found.expression).astype(np.float32),
        skin=(grid.surface, front, grid.back),
        mouth=_surface(vertices, vertices, moves, everywhere, inside),
        tissue=kinds[np.unique(inside)],
        eyes=(
            _eye(0, model, found, vertices, points, picture, light),
            _eye(1, model, found, vertices, points, picture, light),
        ),
        light=light,
        teeth=_teeth(picture, landmarks),
        grey=bool(np.abs(picture - picture.mean(2, keepdims=True)).mean() < 0.012),
        inner=inner,
    )


def _working(portrait: Portrait) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float, float, float]]:
    """The picture at working size with room around it, its matte, and the points there."""
    height = float(np.linalg.norm(portrait.points[_CROWN, :2] - portrait.points[_CHIN, :2]))
    if height < 55:
        raise UnfitError(f"the face is {height:.0f} px high, less than 55")
    factor = FACE / height
    high, wide = (max(8, round(side * factor)) for side in portrait.picture.shape[:2])
    picture = images.resize(portrait.picture.astype(np.float32) / 255, high, wide).clip(0, 1)
    matte = ((images.resize(portrait.matte.astype(np.float32) / 255, high, wide) - 0.25) / 0.5).clip(0, 1)
    points = portrait.points * factor
    middle, chin = points[1, 0], points[_CHIN, 1]
    left, above, below = round(_SIDES * wide), round(_ABOVE * high), round(_BELOW * high)
    x = _stretched(wide, left, left, middle - 0.75 * FACE, middle + 0.75 * FACE)
    y = _stretched(high, above, below, 4, max(chin + 0.3 * FACE, 0.72 * high))
    x, y = np.meshgrid(x, y)
    picture, matte = images.sample(picture, x, y), images.sample(matte[..., None], x, y)[..., 0]
    matte[:above] = 0
    points = points + np.array([left, above, 0], np.float32)
    return picture, matte, points, (left, above, left + wide, above + high)


def _stretched(length: int, before: int, after: int, low: float, high: float) -> np.ndarray:
    """Where each pixel of a longer axis comes from: as it is between low and high, drawn out like rubber beyond."""
    low, high = float(np.clip(low, 4, length / 2)), float(np.clip(high, length / 2, length - 5))
    at = np.arange(-before, length + after, dtype=float)

    def drawn(distance: np.ndarray, there: float, here: float) -> np.ndarray:
        """0..there -> 0..here, with slope one at the start and none at the end."""
        return here * (1 - (1 - (distance / there).clip(0, 1)) ** (there / here))

    far = high + drawn(at - high, length - 1 + after - high, length - 1 - high)
    return np.where(at < low, low - drawn(low - at, low + before, low), np.where(at > high, far, at))


def _check(found: Fit, landmarks: np.ndarray, matte: np.ndarray) -> None:
    error = np.linalg.norm(found.residual, axis=1)
    for part, what in ((slice(17, 68), "face"), (LIPS, "mouth")):
        missed = float(np.sqrt((error[part] ** 2).mean())) / FACE
        if missed > 0.022:
            raise UnfitError(f"the {what} lies {missed:.1%} of its height off the fitted head, more than 2.2 %")
    for angle, most, what in zip(found.angles, (20, 18, 12), ("turned", "tilted", "rolled"), strict=True):
        if abs(angle) > most:
            raise UnfitError(f"the head is {what} by {abs(angle):.0f} degrees, more than {most}")
    gap = min(_lid_gap(landmarks, side) for side in (0, 1)) / FACE
    if gap < 0.025:
        raise UnfitError(f"an eye is open by {gap:.1%} of the face, less than 2.5 %")
    nose = landmarks[30].round().astype(int)
    if matte[nose[1], nose[0]] < 0.9 or (matte > 0.5).mean() < 0.12:
        raise UnfitError("the matte misses the person")


def _lid_gap(landmarks: np.ndarray, side: int) -> float:
    lids = landmarks[EYES[side], 1]
    return float(lids[4:6].mean() - lids[1:3].mean())


def _settle(vertices: np.ndarray, model: HeadModel, found: Fit) -> None:
    """Moves the fitted head, in place, onto what the points still ask for."""
    moves = found.residual
    field = smooth_field(vertices[model.landmarks, :2], moves, found.scale)
    vertices[SKIN, :2] += field(vertices[SKIN, :2])
    for part in (SOCKET, GUMS, TEETH_UPPER, TEETH_LOWER):
        vertices[part, :2] += moves[LIPS].mean(0)  # what is inside moves as a whole
    middle = vertices[model.landmarks[LIPS], 0].mean()
    inner = slice(GUMS.start, TEETH_LOWER.stop)
    vertices[inner, 0] = middle + 0.9 * (vertices[inner, 0] - middle)  # or the sides of the row show at the corners
    for side in (0, 1):
        ball = EYEBALLS[side]
        vertices[ball, :2] += moves[EYES[side]].mean(0)
        vertices[ball, 2] -= 0.12 * found.scale
    vertices[TEETH_UPPER, 1] += 0.25 * found.scale


def _moves(model: HeadModel, found: Fit, landmarks: np.ndarray) -> np.ndarray:
    """(43, DRAWN, 3): the expressions in pixels; a full blink shuts just what is open in the picture."""
    moves = found.turn(model.expressions[:, :DRAWN]).astype(np.float32)
    for side, name in ((0, "eyeBlink_R"), (1, "eyeBlink_L")):
        (column,) = model.columns(name)
        lids = moves[column, model.landmarks[EYES[side]], 1]
        travel = float((lids[1:3] - lids[[5, 4]]).mean())
        moves[column] *= 1.05 * np.clip(_lid_gap(landmarks, side) / travel, 0.3, 1.6)
    return moves


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,): how much each vertex faces the viewer."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(flat[:, k], 3), minlength=len(points)) for k in range(3)], 1
    )
    facing = total[:, 2] / np.linalg.norm(total, axis=1).clip(1e-6)
    return facing if np.median(facing[:6706]) > 0 else -facing


def _face(model: HeadModel, vertices: np.ndarray, landmarks: np.ndarray, scale: float) -> np.ndarray:
    """The triangles of the face that look at the viewer, with all of eyes and mouth, up to the forehead."""
    triangles = model.triangles["narrow"]
    skin = np.concatenate([model.triangles["face"], model.triangles["head"]])
    facing = _normals(vertices[SKIN], skin)[triangles].mean(1)
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


def _follow(landmarks: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 on the head, falling along the neck; beside the jaw lie shoulders, which hardly follow."""
    chin, jaw = landmarks[8, 1], landmarks[[4, 12], 0]
    half, middle = (jaw[1] - jaw[0]) / 2, jaw.mean()
    along = 1 - images.smooth((y - chin - 0.02 * FACE) / (0.5 * FACE))
    aside = images.smooth((np.abs(x - middle) - half) / (1.2 * half))
    return along * (1 - 0.8 * aside * images.smooth((y - landmarks[57, 1]) / (0.35 * FACE)))


def _surface(
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


class _Grid:
    """The whole person on a regular grid, behind the face: hair, ears, neck, torso."""

    def __init__(
        self,
        model: HeadModel,
        vertices: np.ndarray,
        moves: np.ndarray,
        landmarks: np.ndarray,
        matte: np.ndarray,
        face: np.ndarray,
        found: Fit,
    ) -> None:
        self.high, self.wide = (int(np.ceil(side / CELL)) + 1 for side in matte.shape)
        self.x, self.y = np.meshgrid(np.arange(self.wide) * CELL, np.arange(self.high) * CELL)
        self.matte = images.sample(matte[..., None], self.x, self.y)[..., 0]
        skin = np.concatenate([model.triangles["face"], model.triangles["head"]])
        flat = (vertices[SKIN] / np.array([CELL, CELL, 1])).astype(np.float32)
        hits = rasterise(flat, skin, self.high, self.wide)
        facing = self._map(hits.pixel, hits.take(skin, _normals(vertices[SKIN], skin)[:, None].astype(np.float32)))[
            ..., 0
        ]
        depth = self._map(hits.pixel, hits.take(skin, flat[:, 2:]))[..., 0]
        core = self._map(rasterise(flat, face, self.high, self.wide).pixel, 1.0) > 0
        for part in (*EYES, LIPS):
            core |= images.polygon(self.high, self.wide, landmarks[part] / CELL)
        depth = self._depth(depth, facing, core, landmarks, found)
        count = len(model.names)
        carried = moves[:, SKIN].transpose(1, 0, 2).reshape(-1, count * 3)
        seen = facing > 0.1
        spread = images.fill(self._map(hits.pixel, hits.take(skin, carried)), seen)
        spread *= images.smooth(2 * images.blur(seen.astype(np.float32), 0.06 * FACE / CELL))[..., None]
        spread = spread.reshape(-1, count, 3).transpose(1, 0, 2)
        spread[model.columns("eyeBlink", "eyeWide")] = 0  # the lids are the face's
        points = np.stack([self.x, self.y, depth], -1).reshape(-1, 3)
        follow = _follow(landmarks, self.x, self.y).ravel()
        self.surface = _surface(points, points, spread, follow, self._cells(landmarks, core))
        self.back = self._back(points, spread, follow, landmarks, found)

    def _map(self, pixels: np.ndarray, values: np.ndarray | float) -> np.ndarray:
        channels = () if isinstance(values, float) else values.shape[1:]
        image = np.zeros((self.high * self.wide, *channels), np.float32)
        image[pixels] = values
        return image.reshape(self.high, self.wide, *channels)

    def _depth(
        self, depth: np.ndarray, facing: np.ndarray, core: np.ndarray, landmarks: np.ndarray, found: Fit
    ) -> np.ndarray:
        """Of the head where it faces us, between there and the outline of the hair (the plane of the ears) smooth."""
        chin = landmarks[8, 1]
        known = (facing > 0.45) & (self.y < chin + 0.25 * FACE)
        ears, neck = (found.turn(np.array(point))[2] for point in ((0, 0, _EARS), (0, -12, 2.0)))
        behind = np.where(self.y > chin + 0.45 * FACE, neck, ears)
        weight = np.where(known, 1.0, 0.5 * (self.matte < 0.3))
        lifted = images.fill(np.where(known, depth, behind).astype(np.float32), weight)
        lifted = np.where(known, images.blur(np.where(known, depth, lifted), 0.8), images.blur(lifted, 2.5))
        return lifted - 0.25 * found.scale * core  # the face lies in front and wins

    def _back(
        self, points: np.ndarray, moves: np.ndarray, follow: np.ndarray, landmarks: np.ndarray, found: Fit
    ) -> Surface:
        """What a turned head shows behind its ears: the front mirrored, in the colour of the outline above them."""
        ears = found.turn(np.array([0, 0, _EARS]))[2]
        behind = points.copy()
        inward = images.smooth(2 * images.blur(self.matte, 1.2 * found.scale / CELL) - 1).ravel()
        top = self.y[(self.matte > 0.5).any(1)].min()
        inward *= images.smooth((landmarks[8, 1] - 0.1 * FACE - self.y) / (0.4 * FACE)).ravel()
        inward *= images.smooth((self.y - top) / (0.5 * FACE)).ravel()
        mirrored = np.minimum(ears - 0.6 * (points[:, 2] - ears).clip(0), points[:, 2])
        behind[:, 2] += (mirrored - points[:, 2]) * inward - 0.15 * found.scale
        middle, brows = landmarks[27:31, 0].mean(), landmarks[BROWS, 1].mean()
        rows = (np.minimum(self.y[:, 0], brows - 0.2 * FACE) / CELL).astype(int).clip(0)
        solid = images.blur(self.matte, 1)[rows] > 0.97
        left = np.where(solid & (self.x < middle), self.x, middle).min(1) + 2
        right = np.where(solid & (self.x > middle), self.x, middle).max(1) - 2
        worn = np.stack(
            [np.where(self.x < middle, left[:, None], right[:, None]), (rows * CELL)[:, None] + 0 * self.x], -1
        )
        near = images.grow(1 - self.matte, 10) > 0.5
        ring = (self.matte > 0.95) & near & (self.y < landmarks[8, 1] - 0.1 * FACE)
        corners = self._corners()
        corners = corners[ring.ravel()[corners].all(1)]
        triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
        return _surface(behind, worn.reshape(-1, 2), moves, follow, triangles)

    def _corners(self) -> np.ndarray:
        """(cells, 4) vertices around each cell."""
        number = np.arange(self.high * self.wide).reshape(self.high, self.wide)
        return np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], -1).reshape(-1, 4)

    def _cells(self, landmarks: np.ndarray, core: np.ndarray) -> np.ndarray:
        holes = np.zeros((self.high, self.wide), bool)
        for part, across, down in ((EYES[0], 1.05, 1.66), (EYES[1], 1.05, 1.66), (slice(48, 60), 1.05, 1.08)):
            middle = landmarks[part].mean(0)
            wider = middle + (landmarks[part] - middle) * np.array([across, down])
            holes |= images.polygon(self.high, self.wide, wider / CELL)
        corners = self._corners()
        used = (self.matte.ravel()[corners].max(1) > 0.03) & ~(holes & core).ravel()[corners].any(1)
        return np.concatenate([corners[used][:, [0, 1, 2]], corners[used][:, [0, 2, 3]]])


def _backdrop(picture: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The picture without the person: what is behind is guessed from around, and blurred."""
    away = images.grow(matte, 7) < 0.1
    if away.mean() < 0.02:
        return np.broadcast_to(picture.mean((0, 1)), picture.shape).astype(np.float32)
    guessed = images.blur(images.fill(picture, away), 4)
    return np.where(away[..., None], picture, guessed).clip(0, 1).astype(np.float32)


def _skin_light(picture: np.ndarray, landmarks: np.ndarray) -> float:
    x, y = int(landmarks[31, 0]), int(landmarks[30, 1])
    patch = picture[max(y - 4, 0) : y + 5, max(x - 14, 0) : max(x - 3, 1)].reshape(-1, 3)
    return float(np.median(patch, axis=0) @ LUMA)


def _teeth(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
    """The colour of the teeth where a mouth shows them."""
    if landmarks[66, 1] - landmarks[62, 1] < 6:
        return None
    inside = picture[images.polygon(picture.shape[0], picture.shape[1], landmarks[INNER_LIPS])]
    bright = inside @ LUMA
    found = inside[bright >= np.percentile(bright, 60)].mean(0)
    return found if found.mean() > 0.42 * np.clip(_skin_light(picture, landmarks) / 0.62, 0.45, 1.15) else None


def _eye(
    side: int,
    model: HeadModel,
    found: Fit,
    vertices: np.ndarray,
    points: np.ndarray,
    picture: np.ndarray,
    light: float,
) -> Eye:
    ball = vertices[EYEBALLS[side]]
    low, high = ball.min(0), ball.max(0)
    iris = points[468 + 5 * side : 473 + 5 * side, :2].astype(float)
    lids = points[LANDMARKS_OF_478[EYES[side]], :2].astype(float)
    return read_eye(picture, (low + high) / 2, float((high - low)[:2].mean() / 2), iris, lids, light)

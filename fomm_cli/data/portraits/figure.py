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
from fomm_cli.data.portraits.grid import Grid
from fomm_cli.data.portraits.head import (
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
from fomm_cli.data.portraits.images import LUMA
from fomm_cli.data.portraits.surfaces import FACE, Surface, UnfitError, face_triangles, follow_head, surface

_SIDES, _ABOVE, _BELOW = 0.8, 0.15, 0.6  # room around the picture, in shares of its width or height
_CROWN, _CHIN = 10, 152  # of the 478 points


class Portrait(NamedTuple):
    """What is known of a picture before it is fitted.

    picture  uint8 (H, W, 3)
    points   (478, 3) of MediaPipe's face mesh, in pixels of the picture
    matte    uint8 (H, W): how much of a pixel is the person
    """

    picture: np.ndarray
    points: np.ndarray
    matte: np.ndarray


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
    face = face_triangles(model, vertices, landmarks, found.scale)
    grid = Grid(model, vertices, moves, landmarks, matte, face, found)
    follow = follow_head(landmarks, vertices[SKIN, 0], vertices[SKIN, 1])
    front = surface(vertices, vertices, moves, follow, face)
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
        mouth=surface(vertices, vertices, moves, everywhere, inside),
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
    vertices[TEETH_UPPER, 1] += 0.18 * found.scale


def _moves(model: HeadModel, found: Fit, landmarks: np.ndarray) -> np.ndarray:
    """(43, DRAWN, 3): the expressions in pixels; a full blink shuts just what is open in the picture."""
    moves = found.turn(model.expressions[:, :DRAWN]).astype(np.float32)
    for side, name in ((0, "eyeBlink_R"), (1, "eyeBlink_L")):
        (column,) = model.columns(name)
        lids = moves[column, model.landmarks[EYES[side]], 1]
        travel = float((lids[1:3] - lids[[5, 4]]).mean())
        moves[column] *= 1.05 * np.clip(_lid_gap(landmarks, side) / travel, 0.3, 1.6)
    return moves


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

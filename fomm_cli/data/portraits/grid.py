"""The whole person on a regular grid, behind the face: hair, ears, neck, torso, and the back of the head."""

from __future__ import annotations

import numpy as np

from fomm_cli.data.portraits import images
from fomm_cli.data.portraits.fit import Fit
from fomm_cli.data.portraits.head import BROWS, EYES, LIPS, SKIN, HeadModel
from fomm_cli.data.portraits.raster import rasterise
from fomm_cli.data.portraits.surfaces import FACE, Surface, follow_head, surface, toward_viewer

CELL = 4.0  # pixels between two vertices
_EARS = 1.0  # cm: the depth of the ears, where the outline of a head is


class Grid:
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
        facing = self._map(
            hits.pixel, hits.take(skin, toward_viewer(vertices[SKIN], skin)[:, None].astype(np.float32))
        )[..., 0]
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
        follow = follow_head(landmarks, self.x, self.y).ravel()
        self.surface = surface(points, points, spread, follow, self._cells(landmarks, core))
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
        return surface(behind, worn.reshape(-1, 2), moves, follow, triangles)

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

"""Turned crops of a picture, and their way back into it: 2x3 matrices between pixel positions, bilinear sampling.

Whole numbers are the centres of pixels, as in `warpAffine`; black lies outside the picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomm_cli.boxes import Box
from fomm_cli.media.image import Frame

Matrix = NDArray[np.float64]
"""(2, 3): position in one picture to position in another, (x', y') = M @ (x, y, 1)."""


def inverse(matrix: Matrix) -> Matrix:
    """The way back."""
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])


def box_matrix(box: Box, size: tuple[int, int]) -> Matrix:
    """Picture to the crop `box` resized to `size` = (H, W), whose outer edges are the box's."""
    x, y = size[1] / box.width, size[0] / box.height
    return np.array([[x, 0, (0.5 - box.left) * x - 0.5], [0, y, (0.5 - box.top) * y - 0.5]])


def bounds(matrix: Matrix, size: tuple[int, int]) -> Box:
    """The upright box around what a crop of `size` = (H, W) shows of the picture."""
    corners = np.array([[x, y, 1] for x in (-0.5, size[1] - 0.5) for y in (-0.5, size[0] - 0.5)]) @ inverse(matrix).T
    (left, top), (right, bottom) = np.rint(corners.min(axis=0) + 0.5), np.rint(corners.max(axis=0) + 0.5)
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def sample(
    picture: NDArray[np.generic], matrix: Matrix, size: tuple[int, int], antialias: bool = True
) -> NDArray[np.float32]:
    """Where `matrix` takes the picture (H, W, C), as float32 (*size, C).

    antialias   reduce a picture that shrinks to less than half by whole numbers first; `warpAffine` does not
    """
    back = inverse(matrix)
    step = int(np.sqrt(abs(np.linalg.det(back[:, :2])))) if antialias else 1
    # Of a large picture only the part that is looked at is turned into numbers: positions beyond it see black anyway.
    corners = np.array([[x, y, 1] for x in (-1, size[1]) for y in (-1, size[0])]) @ back.T
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - step, 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1 + step, picture.shape[1::-1])
    if left >= right or top >= bottom:
        return np.zeros((*size, picture.shape[2]), np.float32)
    part = picture[top:bottom, left:right].astype(np.float32)
    back = back - [[0, 0, left], [0, 0, top]]
    if step > 1:
        part = _reduced(part, step)
        back = (back + [[0, 0, 0.5]] * 2) / step - [[0, 0, 0.5]] * 2
    # Pillow counts from the outer edge and has no black beyond its last pixels to mix with: one is put around.
    part = np.pad(part, ((1, 1), (1, 1), (0, 0)))
    offset = back[:, 2] + 1.5 - back[:, :2] @ [0.5, 0.5]
    numbers = tuple(np.column_stack([back[:, :2], offset]).ravel().tolist())
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(part[..., channel])).transform(
                size[::-1], Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR
            )
        )
        for channel in range(part.shape[2])
    ]
    return np.stack(planes, axis=-1)


def crop(picture: Frame, matrix: Matrix, size: tuple[int, int]) -> Frame:
    """`sample`, rounded: uint8 (*size, 3)."""
    return np.rint(sample(picture, matrix, size)).astype(np.uint8)


class Paste:
    """Puts crops back where they were cut out, in every frame of the same place.

    matrix   (2, 3): picture to crop
    mask     (h, w) in [0, 1]: how much of the crop to take, of the crop's size
    size     (H, W) of the picture
    box      what of the picture it reaches; `weight` is the mask there, (h, w, 1)
    """

    def __init__(
        self, matrix: Matrix, mask: NDArray[np.float32], size: tuple[int, int], antialias: bool = True
    ) -> None:
        self.antialias = antialias
        self.crop_size = (mask.shape[0], mask.shape[1])
        back = inverse(matrix)
        corners = np.array([[x, y, 1] for x in (-1, mask.shape[1]) for y in (-1, mask.shape[0])]) @ back.T
        left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, size[::-1])
        right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, size[::-1])
        self.box = Box(int(left), int(top), int(right - left), int(bottom - top))
        self._back = back - [[0, 0, left], [0, 0, top]]
        self.weight = self.sampled(mask[..., None])

    def sampled(self, maps: NDArray[np.generic]) -> NDArray[np.float32]:
        """A crop (h, w, C) where it lies in the picture, as large as `box`."""
        if maps.shape[:2] != self.crop_size:
            raise ValueError(f"the mask is {self.crop_size}, the crop {maps.shape[:2]}")
        if not self.box.width or not self.box.height:
            return np.zeros((self.box.height, self.box.width, maps.shape[2]), np.float32)
        return sample(maps, self._back, (self.box.height, self.box.width), self.antialias)

    def __call__(self, picture: Frame, crop: Frame) -> Frame:
        """A copy of the picture with the crop in its place; where the mask is 0 nothing changes."""
        result = picture.copy()
        region = result[self.box.top : self.box.top + self.box.height, self.box.left : self.box.left + self.box.width]
        mixed = region + self.weight * (self.sampled(crop) - region)
        region[...] = np.clip(np.rint(mixed), 0, 255)
        return result


def border_mask(side: int, border: int, fade: int) -> NDArray[np.float32]:
    """1 inside, falling to 0 at `fade` pixels before the square `side` ends, by distance to its inner rectangle."""
    at = np.arange(side)
    outside = np.maximum(np.maximum(border - at, at - (side - border)), 0)
    distance = np.hypot(outside[:, None], outside[None, :])
    return np.clip(1 - distance / fade, 0, 1).astype(np.float32)


def _reduced(part: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """The mean of step x step pixels; the last ones stand for those that are missing."""
    height, width = (-size % step for size in part.shape[:2])
    part = np.pad(part, ((0, height), (0, width), (0, 0)), mode="edge")
    return part.reshape(part.shape[0] // step, step, part.shape[1] // step, step, -1).mean(axis=(1, 3))

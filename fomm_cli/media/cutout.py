"""Pictures with transparency: the colours alone, going on beyond the edge, and how much of them is to be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fomm_cli.errors import FommError
from fomm_cli.media.colour import to_srgb
from fomm_cli.media.image import BROKEN_IMAGE, Frame, open_image, read_image, resize, turned

Alpha = NDArray[np.uint8]
"""(H, W), 0 = transparent."""

BLEED = 8
"""Pixels that colours go on beyond an edge, so that no fringe of another colour is warped in."""
_SURE = 3
"""Of 255: where less is to be seen, colours are what rounding left of them."""


def read_cutout(path: Path, mask: Path | None = None, bleed: bool = True) -> tuple[Frame, Alpha]:
    """A picture's colours (H, W, 3) and its transparency, or that of a mask: a grey picture, white = to be seen.

    Colours are not mixed with any background: where nothing is to be seen they are those of what is near, and white far
    away. Without `bleed` they are the picture's own, transparency over white.
    """
    if mask is not None:
        picture, shown = read_image(path), read_image(mask)
        if shown.shape != picture.shape:
            sizes = [f"{each.shape[1]} x {each.shape[0]}" for each in (shown, picture)]
            raise FommError(f"{mask} is {sizes[0]} pixels, but {path} is {sizes[1]}.", "Make both of one size.")
        return bled(picture, shown[..., 1]) if bleed else picture, shown[..., 1]
    with open_image(path) as image:
        try:
            image.load()
            upright = to_srgb(turned(image))
            seen = upright.has_transparency_data
            pixels = np.asarray(upright.convert("RGBA"))
        except BROKEN_IMAGE as error:
            raise FommError(f"{path} is a damaged picture: {error}.", "Save it again from a picture editor.") from error
    if not seen or pixels[..., 3].min() == 255:
        raise FommError(
            f"{path} has no transparency: what is background is not known.",
            "Give a mask, white where the subject is: --mask FILE. Or let it be found: --matte motion.",
        )
    alpha = np.ascontiguousarray(pixels[..., 3])
    return bled(np.ascontiguousarray(pixels[..., :3]), alpha) if bleed else read_image(path), alpha


def bled(picture: Frame, alpha: Alpha) -> Frame:
    """Colours that go on beyond the edge of what is to be seen."""
    share = np.where(alpha >= _SURE, alpha, 0).astype(np.uint8)
    weighted = Image.fromarray(np.rint(picture * (share[..., None] / 255.0)).astype(np.uint8))
    blur = ImageFilter.BoxBlur(BLEED)
    near = np.asarray(Image.fromarray(share).filter(blur), np.float32)[..., None] / 255
    colours = np.asarray(weighted.filter(blur), np.float32)
    found = near > 1 / 255
    beyond = np.where(found, colours / np.maximum(near, 1 / 255), 255)
    result = np.where(share[..., None] > 0, picture, np.clip(np.rint(beyond), 0, 255))
    return result.astype(np.uint8)


def resized_alpha(alpha: Alpha, size: tuple[int, int]) -> Alpha:
    """Transparency at another size (H, W)."""
    return resize(np.repeat(alpha[..., None], 3, axis=2), size)[..., 0]

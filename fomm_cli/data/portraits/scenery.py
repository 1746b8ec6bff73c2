"""What may be behind a person: collages with sharp detail, and pieces of other pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fomm_cli.data.portraits import images


def collage(random: np.random.Generator, side: int) -> np.ndarray:
    """Shelves, windows, posters, blinds, plants for all we know: (side, side, 3) in [0, 1]."""
    tone = 0.5 * random.uniform(0.05, 0.95, 3) + 0.5 * random.uniform(0.05, 0.95)
    angle, slope = random.uniform(0, 2 * np.pi), random.normal(0, 0.25)
    y, x = np.mgrid[0:side, 0:side] / side
    ramp = tone + slope * (x * np.cos(angle) + y * np.sin(angle))[..., None]
    canvas = Image.fromarray((ramp.clip(0, 1) * 255).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)

    def colour() -> tuple[int, ...]:
        mixed = (tone + random.normal(0, 0.3) + random.normal(0, 0.12, 3)).clip(0, 1)
        return tuple(int(255 * v) for v in mixed)

    for _ in range(random.integers(3, 40)):
        left, top = (int(v) for v in random.integers(-side // 8, side, 2))
        wide, high = (int(v) for v in random.integers(side // 40 + 1, side // 2, 2))
        box = (left, top, left + wide, top + high)
        kind = random.integers(6)
        if kind < 2:
            pen.rectangle(box, colour())
        elif kind == 2:
            pen.ellipse(box, colour())
        elif kind == 3:
            end = tuple(int(v) for v in random.integers(0, side, 2))
            pen.line((left, top, *end), colour(), int(random.integers(1, max(2, side // 30))))
        elif kind == 4:
            noise = (random.random((*random.integers(2, 24, 2), 3)) * 255).astype(np.uint8)
            smoothing = Image.Resampling.BICUBIC if random.random() < 0.6 else Image.Resampling.NEAREST
            patch = Image.fromarray(noise).resize((wide, high), smoothing)
            under = canvas.crop(box)
            canvas.paste(Image.blend(under, patch, float(random.uniform(0.2, 0.8))), (left, top))
        else:
            step, upright = max(2, wide // 6), random.random() < 0.5
            for bar in range(int(random.integers(3, 12))):
                thick = max(1, int(step * random.uniform(0.3, 1)))
                start = (left + bar * step, top) if upright else (left, top + bar * step)
                end = (start[0] + thick, start[1] + high) if upright else (start[0] + wide, start[1] + thick)
                pen.rectangle((*start, *end), colour())
    softness = side / 256 * float(random.choice([0.6, 0.8, 1.5, 4.0]))
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(softness)), np.float32) / 255


def piece(random: np.random.Generator, side: int, picture: np.ndarray) -> np.ndarray | None:
    """A part of a photograph without a face: of its lower third or an upper corner; None if it is too small.

    picture  uint8 (H, W, 3)
    """
    high, wide = picture.shape[:2]
    if random.random() < 0.75:
        part = picture[int(high * 0.66) :]
    else:
        part = picture[: int(high * 0.4), : int(wide * 0.3)]
        if random.random() < 0.5:
            part = picture[: int(high * 0.4), int(wide * 0.7) :]
    if min(part.shape[:2]) < 20:
        return None
    part = np.rot90(part, int(random.integers(4)))
    edge = int(min(part.shape[:2]) * random.uniform(0.6, 1))
    top, left = (int(random.integers(0, extent - edge + 1)) for extent in part.shape[:2])
    part = part[top : top + edge, left : left + edge].astype(np.float32) / 255
    if random.random() < 0.5:  # four mirrored copies: finer detail
        quarter = images.resize(part, side // 2, side // 2)
        row = np.concatenate([quarter, quarter[:, ::-1]], 1)
        part = np.concatenate([row, row[::-1]], 0)
    return images.resize(part, side, side).clip(0, 1)

"""What stands behind what moves: nothing, a colour, a picture, or the source's own background held still."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageFilter

from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import Frame, fit, read_image

WORDS = ["keep", "freeze", "alpha"]
ALPHA = [".webm", ".mov", ".webp", ".apng", ".gif", ""]
"""Suffixes of outputs that have transparency; none = a folder of png."""

REACH = 0.02
"""Share of the frame's shorter side that a frozen background keeps away from what moves."""
_SQUARE = 8


def parse_background(text: str) -> str:
    """A word, a colour as CSS writes it, or a picture's path. FommError for anything else."""
    if text in WORDS or Path(text).is_file():
        return text
    try:
        ImageColor.getrgb(text)
    except ValueError:
        raise FommError(
            f"There is no background {text!r}.", f"{nearest(text, WORDS)} Or a colour, green or #00ff00, or a picture."
        ) from None
    return text


def check_alpha(path: Path) -> None:
    """Refuse, before any work, an output that has no transparency."""
    if path.suffix.lower() not in ALPHA:
        raise FommError(
            f"{path.suffix} has no transparency.",
            "Write webm, mov, webp, apng, gif (a pixel is there or not) or a folder of png.",
        )


class Backdrop:
    """Puts frames of colours and transparency (H, W, 4) before a background: (H, W, 3), or as they are for `alpha`.

    background   what `parse_background` took, not "keep"
    still        the source (H, W, 4) as it is shown, for "freeze"
    """

    def __init__(self, background: str, still: NDArray[np.uint8]) -> None:
        self.background, self._still = background, still
        size = (still.shape[0], still.shape[1])
        self._reach = max(1, round(REACH * min(size)))
        self._behind: NDArray[np.uint8] | None = None
        if background == "freeze":
            self._behind, self._held = still[..., :3], self._grown(still[..., 3])
        elif Path(background).is_file():
            self._behind = fit(read_image(background), size)
        elif background != "alpha":
            self._behind = np.full((*size, 3), ImageColor.getrgb(background)[:3], np.uint8)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._behind is None:
            return frame
        share = frame[..., 3] / np.float32(255)
        if self.background == "freeze":
            share = np.maximum(self._grown(frame[..., 3]), self._held)
        return mixed(frame, self._behind, share)

    def _grown(self, alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
        """1 where something is to be seen and some pixels round it, 0 from `reach` on."""
        blurred = np.asarray(Image.fromarray(alpha).filter(ImageFilter.BoxBlur(self._reach)), np.float32)
        return np.minimum(blurred / 16, 1)


def mixed(frame: NDArray[np.uint8], behind: Frame, share: NDArray[np.floating]) -> Frame:
    """So much of a frame before another picture of its size."""
    result = behind.astype(np.float32)
    result += share[..., None] * (frame[..., :3] - result)
    return np.rint(result).astype(np.uint8)


def on_checks(frame: NDArray[np.uint8]) -> Frame:
    """A frame without transparency as it is; one with it before a chequer board, as picture editors show it."""
    if frame.shape[2] == 3:
        return frame
    y, x = np.indices(frame.shape[:2]) // _SQUARE
    board = np.where((x + y) % 2, 204, 255).astype(np.uint8)
    return mixed(frame, np.repeat(board[..., None], 3, axis=2), frame[..., 3] / np.float32(255))

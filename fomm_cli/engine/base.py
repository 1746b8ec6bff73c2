"""The one protocol every runner of the three seams follows: numpy in, numpy out, so that animation needs no torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fomm_cli.model.types import Keypoints

Frames = NDArray[np.uint8]
"""A batch of pictures, (B, H, W, 3), RGB, 0 to 255."""


class Engine(Protocol):
    """detect, encode and render on uint8 pictures; Keypoints here hold float32 arrays of the same shapes.

    A batch that does not fit into memory raises MemoryError, whatever the machinery below calls it; the caller comes
    back with a smaller one. Methods may be called from any thread, by one at a time.
    """

    size: tuple[int, int]
    """(H, W) of every frame that goes in and comes out."""
    batch: int
    """How many frames at a time are worth giving here: a first guess, not a limit."""
    detector: str
    """The identity of the network that sees the poses, "sha256:..."; "" where it is not known."""
    name: str
    """What runs and where, for people, such as "plain fp32 on cpu (2 threads)"."""

    def detect(self, frames: Frames) -> Keypoints:
        """The keypoints of B frames."""
        ...

    def encode(self, frame: NDArray[np.uint8]) -> Any:
        """All that depends on the source (H, W, 3) alone, to be handed to `render`."""
        ...

    def render(self, encoded: Any, source: Keypoints, driving: Keypoints) -> Frames:
        """The source in each of B driving poses; `source` is a batch of one."""
        ...


def as_engine(model: Any) -> Engine:
    """`model` if it follows the protocol, else (a FirstOrderModel) the plain engine around it."""
    if hasattr(model, "parameters"):
        from fomm_cli.engine.plain import PlainEngine

        return PlainEngine(model)
    return model

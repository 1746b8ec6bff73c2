"""Work for an engine, in batches that are halved whenever one does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.animate.compose import Part
from fomm_cli.animate.stream import batched
from fomm_cli.engine.base import Engine, Parts
from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, fit
from fomm_cli.model.pose import joined, pick

SMALLEST = 16
"""Pixels a side; of less there is nothing to see."""


class Runner:
    """An engine that takes any number of frames or poses.

    batch  how many go in at a time, None = the engine's choice; a batch that does not fit halves it for good
    """

    def __init__(self, engine: Engine, batch: int | None = None) -> None:
        self.engine = engine
        self.batch = batch or engine.batch

    def fit(self, frame: Frame) -> Frame:
        """A picture in the engine's size, as `media.image.fit` makes it."""
        check_frame(frame)
        return fit(frame, self.engine.size)

    def detect(self, frames: Iterable[Frame]) -> Any:
        """The poses of frames of any size, as arrays. Only the poses are kept."""
        poses: list[Any] = []
        for batch in batched((self.fit(frame) for frame in frames), self.batch):
            poses += self._pieces(self.engine.detect, np.stack(batch))
        if not poses:
            raise FommError("There are no driving frames.", "Check the driving clip.")
        return joined(poses)

    def render(self, encoded: Any, source: Any, poses: Any) -> Iterator[Frame]:
        """The source in each of the poses: as many frames, in the same order, lazily."""

        def some(batch: Any) -> NDArray[np.uint8]:
            return self.engine.render(encoded, source, batch)

        for frames in self._pieces(some, poses):
            yield from frames

    def parts(self, encoded: Any, source: Any, poses: Any, taper: Any = None) -> Iterator[Part]:
        """`render`, each frame with what it was made of; for engines with a `motion_size`."""

        def some(batch: Any) -> Parts:
            return self.engine.parts(encoded, source, batch, taper)

        for made in self._pieces(some, poses):
            for row in range(len(made.frames)):
                yield Part(*(None if field is None else field[row] for field in made))  # type: ignore[arg-type]

    def _pieces(self, compute: Callable[[Any], Any], items: Any) -> Iterator[Any]:
        """`compute` on frames or poses, piece by piece."""
        count, done = (len(items) if isinstance(items, np.ndarray) else len(items[0])), 0
        while done < count:
            span = slice(done, done + self.batch)
            piece = items[span] if isinstance(items, np.ndarray) else pick(items, span)
            size = min(self.batch, count - done)
            try:
                result = compute(piece)
            except MemoryError as error:
                if size == 1:
                    raise FommError(
                        "There is not enough memory for a single frame.", "Close other programs, or use --device cpu."
                    ) from error
                self.batch = size // 2
                continue
            yield result
            done += size


def check_frame(frame: Frame) -> None:
    """A picture as everything here expects it, and large enough to show something."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise FommError(f"A frame is an array of uint8 (H, W, 3), not {found}.", "Convert it to 8-bit RGB first.")
    height, width = frame.shape[:2]
    if min(height, width) < SMALLEST:
        raise FommError(
            f"The picture is {width} x {height} pixels: there is nothing to see in it.",
            f"Use one of at least {SMALLEST} x {SMALLEST} pixels.",
        )

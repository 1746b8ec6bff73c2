"""One source, encoded once, in the pose of frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.animate.anchor import Anchor, find_anchor
from fomm_cli.animate.stream import batched
from fomm_cli.animate.transfer import check_mode, transfer
from fomm_cli.engine.base import Engine, as_engine
from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, fit
from fomm_cli.model.types import Keypoints

SMALLEST = 16
"""Pixels a side; of less there is nothing to see."""


class Animator:
    """Animates one source picture.

    >>> animator = Animator(load_model(), source)
    >>> for frame in animator.frames(driving_frames): ...

    model        what `load_model` returns, or any engine
    source       uint8 RGB (H, W, 3) of any size: its middle is cut to the model's shape and resized, never squashed
    mode         "relative": the source moves as the driving frames do since the anchor; "absolute": it takes their pose
    adapt_scale  relative only: movements grow or shrink with the size of the source's pose against the anchor's
    anchor       relative only: the driving pose that stands for the source's own; a frame, keypoints of one frame, or
                 None for the first frame of each call of `frames`. See `find_anchor`.
    batch        frames computed at a time, None = the engine's choice; halved by itself when memory runs out. Frames
                 come out once their batch is full: give 1 to a live source.

    A model or animator serves one thread at a time.
    """

    def __init__(
        self,
        model: Any,
        source: Frame,
        mode: str = "relative",
        adapt_scale: bool = True,
        anchor: Frame | Keypoints | None = None,
        batch: int | None = None,
    ) -> None:
        check_mode(mode)
        self.engine: Engine = as_engine(model)
        self.mode = mode
        self.adapt_scale = adapt_scale
        self.batch = batch or self.engine.batch
        self.source = self.fit(source)
        self.pose = self.detect([self.source])
        self.anchor = self.detect([anchor]) if isinstance(anchor, np.ndarray) else anchor
        self._follows_first = anchor is None
        self._encoded: Any = None

    def fit(self, frame: Frame) -> Frame:
        """A picture in the engine's size, as `media.image.fit` makes it."""
        check_frame(frame)
        return fit(frame, self.engine.size)

    def detect(self, frames: Iterable[Frame]) -> Keypoints:
        """The keypoints of driving frames: arrays (B, K, 2) and (B, K, 2, 2) or None. Only the keypoints are kept."""
        poses: list[Keypoints] = []
        for batch in batched((self.fit(frame) for frame in frames), self.batch):
            poses += self._pieces(self.engine.detect, np.stack(batch))
        if not poses:
            raise FommError("There are no driving frames.", "Check the driving clip.")
        return joined(poses)

    def find_anchor(self, frames: Iterable[Frame]) -> Anchor:
        """The frame whose pose is nearest to the source's: hand its `.pose` (or the frame) in as the anchor."""
        return find_anchor(self.pose, self.detect(frames))

    def frames(self, driving: Iterable[Frame]) -> Iterator[Frame]:
        """The source in the pose of each driving frame: as many frames, in the same order, uint8 (H, W, 3), lazily."""
        if self._follows_first:
            self.anchor = None
        for batch in batched(driving, self.batch):
            yield from self.render(self.detect(batch))

    def render(self, driving: Keypoints) -> Iterator[Frame]:
        """The source in driving poses detected before: as many frames, in the same order."""
        for frames in self._pieces(self._render, self.transfer(driving)):
            yield from frames

    def transfer(self, driving: Keypoints) -> Keypoints:
        """Driving keypoints as they are rendered. Where no anchor is set, the first pose ever given becomes it."""
        if self.anchor is None and self.mode == "relative":
            self.anchor = driving.apply(lambda array: array[:1])
        return transfer(self.pose, driving, self.anchor, self.mode, self.adapt_scale)

    def _render(self, moved: Keypoints) -> NDArray[np.uint8]:
        if self._encoded is None:
            self._encoded = self.engine.encode(self.source)
        return self.engine.render(self._encoded, self.pose, moved)

    def _pieces(self, compute: Callable[[Any], Any], items: Any) -> Iterator[Any]:
        """`compute` on frames or keypoints in pieces of the batch, which is halved whenever one does not fit."""
        count, done = (len(items) if isinstance(items, np.ndarray) else len(items[0])), 0
        while done < count:
            span = slice(done, done + self.batch)
            piece = items[span] if isinstance(items, np.ndarray) else items.apply(lambda array, s=span: array[s])
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


def joined(poses: list[Keypoints]) -> Keypoints:
    """Several batches as one."""
    values: Any = np.concatenate([np.asarray(pose[0]) for pose in poses])
    if poses[0][1] is None:
        return Keypoints(values, None)
    jacobians: Any = np.concatenate([np.asarray(pose[1]) for pose in poses])
    return Keypoints(values, jacobians)


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

"""One source, encoded once, in the pose of frame after frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene
from fomm_cli.animate.settings import Settings
from fomm_cli.animate.stream import batched
from fomm_cli.animate.subject import MOTION, cut_out
from fomm_cli.detectors.matte import matte as by_network
from fomm_cli.engine.choose import as_engine
from fomm_cli.errors import FommError
from fomm_cli.media.cutout import Alpha, bled
from fomm_cli.media.image import Frame
from fomm_cli.model.pose import pick
from fomm_cli.motion.motion import Anchor, Motion


class Animator:
    """Animates one source picture.

    >>> animator = Animator(load_model(), source)
    >>> for frame in animator.frames(driving_frames): ...

    model        what `load_model` returns, any engine, or what names weights: see `open_engine`
    source       uint8 RGB (H, W, 3) of any size: its middle is cut to the model's shape and resized, never squashed
    mode         "relative": the source moves as the driving frames do since the anchor; "absolute": it takes their
                 pose; "avd", in families that have it: the driving pose had the source taken it; None: the weights' own
    adapt_scale  relative only: movements grow or shrink with the size of the source's pose against the anchor's; None
                 as the weights have it
    anchor       relative only: the driving pose that stands for the source's own; a frame, the pose of one frame, or
                 None for the first frame of each call of `frames`. See `find_anchor`.
    size         shorter side of the frames that come out, in pixels, or "source": as large as the part of the picture
                 that is animated; None = the network's. Larger ones show the picture itself, moved by the network.
    matte        what is the source's subject, shown alone, in frames (H, W, 4) with transparency: "motion", what the
                 model would move; the name of a network of rembg; or a mask, uint8 (H, W), 255 = the subject
    batch        frames computed at a time, None = the engine's choice; halved by itself when memory runs out. Frames
                 come out once their batch is full: give 1 to a live source.

    A model or animator serves one thread at a time.
    """

    def __init__(
        self,
        model: Any,
        source: Frame,
        mode: str | None = None,
        adapt_scale: bool | None = None,
        anchor: Any | None = None,
        batch: int | None = None,
        size: int | str | None = None,
        matte: str | Alpha | None = None,
    ) -> None:
        self.runner = Runner(as_engine(model), batch)
        self.mode, self.adapt_scale = Settings(mode, adapt_scale).agreed(self.runner.engine).carrying
        self.scene = Scene(self.runner, source, frames=size)
        if isinstance(matte, str) and matte == MOTION:
            cut_out([self.scene])
        elif matte is not None:
            alpha = by_network(source, matte) if isinstance(matte, str) else matte
            if alpha.shape != source.shape[:2]:
                raise FommError(f"The mask is {alpha.shape}, the source {source.shape[:2]}.", "Make both of one size.")
            self.scene.cut_out(bled(source, alpha), alpha)
        self.anchor = self.detect([anchor]) if isinstance(anchor, np.ndarray) else anchor
        self._follows_first = anchor is None

    @property
    def source(self) -> Frame:
        """The source in the model's size."""
        return self.scene.source

    @property
    def pose(self) -> Any:
        """The source's pose, a batch of one."""
        return self.scene.pose

    @property
    def batch(self) -> int:
        """Frames computed at a time, at present."""
        return self.runner.batch

    def fit(self, frame: Frame) -> Frame:
        """A picture in the engine's size, as `media.image.fit` makes it."""
        return self.runner.fit(frame)

    def detect(self, frames: Iterable[Frame]) -> Any:
        """The poses of driving frames, as arrays."""
        return self.runner.detect(frames)

    def find_anchor(self, frames: Iterable[Frame]) -> Anchor:
        """The frame whose pose is nearest to the source's: hand its `.pose` (or the frame) in as the anchor."""
        poses = self.detect(frames)
        times = tuple(Fraction(row) for row in range(len(poses[0])))
        engine = self.runner.engine
        return Motion(poses, times, Fraction(1), engine.size, engine.family.name).nearest(self.pose)

    def frames(self, driving: Iterable[Frame]) -> Iterator[Frame]:
        """The source in the pose of each driving frame: as many frames, in the same order, uint8 (H, W, 3), lazily."""
        if self._follows_first:
            self.anchor = None
        for batch in batched(driving, self.batch):
            yield from self.render(self.transfer(self.detect(batch)))

    def transfer(self, driving: Any) -> Any:
        """Driving poses as they are rendered. Where no anchor is set, the first pose ever given becomes it."""
        if self.anchor is None and self.mode == "relative":
            self.anchor = pick(driving, slice(1))
        return self.scene.transfer(driving, self.anchor, self.mode, self.adapt_scale)

    def render(self, moved: Any) -> Iterator[Frame]:
        """The source in poses that `transfer` gave: as many frames, in the same order."""
        return self.scene.render(moved)

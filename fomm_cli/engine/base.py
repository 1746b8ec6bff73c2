"""The one protocol every runner of the three seams follows: numpy in, numpy out, so that animation needs no torch."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.model.family import Family, Usual

Frames = NDArray[np.uint8]
"""A batch of pictures, (B, H, W, 3), RGB, 0 to 255."""


class Parts(NamedTuple):
    """B frames and what a larger picture needs to move like them.

    frames     as `render` gives them
    decoded    (B, H, W, 3): the generator's own picture, before the source was blended in; None without blending
    flow       (B, h, w, 2) float32: for each place the point of the source to look at
    occlusion  (B, h', w') float32 in [0, 1]: 1 where the source shows what is needed; None without such maps
    """

    frames: Frames
    decoded: Frames | None
    flow: NDArray[np.float32]
    occlusion: NDArray[np.float32] | None


class Engine(Protocol):
    """detect, encode and render on uint8 pictures; a pose here, the family's NamedTuple, holds float32 arrays.

    A batch that does not fit into memory raises MemoryError, whatever the machinery below calls it; the caller comes
    back with a smaller one. Methods may be called from any thread, by one at a time.
    """

    family: Family
    """Whose poses these are, and how motion is carried over."""
    size: tuple[int, int]
    """(H, W) of every frame that goes in."""
    output_size: tuple[int, int]
    """(H, W) of every frame that comes out."""
    motion_size: tuple[int, int] | None
    """(h, w) of the flow that `parts` gives; None where there is none to be had."""
    batch: int
    """How many frames at a time are worth giving here: a first guess, not a limit."""
    detector: str
    """The identity of the network that sees the poses, "sha256:..."; "" where it is not known."""
    weights: str
    """Which weights these are, "sha256:..." of their file; "" where they came from no file."""
    usual: Usual
    """How the weights' authors animate, and how much around a face they show the network."""
    disentangles: bool
    """Whether these weights hold the network of mode avd."""
    name: str
    """What runs and where, for people, such as "plain fp32 on cpu (2 threads)"."""

    def detect(self, frames: Frames) -> Any:
        """The poses of B frames."""
        ...

    def encode(self, frame: NDArray[np.uint8]) -> Any:
        """All that depends on the source (H, W, 3) alone, to be handed to `render`."""
        ...

    def render(self, encoded: Any, source: Any, driving: Any) -> Frames:
        """The source in each of B driving poses; `source` is a batch of one."""
        ...

    def parts(self, encoded: Any, source: Any, driving: Any, taper: NDArray[np.float32] | None = None) -> Parts:
        """`render`, and what its frames were made of.

        taper  (h, w) of `motion_size`, in [0, 1]: how freely each place moves, 0 = as the source is; None = all
        """
        ...

    def disentangle(self, source: Any, driving: Any) -> Any:
        """Mode avd: the driving poses (B) had the source (a batch of one) taken them, by the family's network."""
        ...

    def settle(self, source: Any, driving: Any, finish: Any = None) -> Any:
        """The last word on poses before they are rendered; most families leave them as they are.

        finish   what the family's `finish` tells the network; None: as usual
        """
        ...


class Mover(Protocol):
    """What carries motion over: an engine, or a model."""

    @property
    def family(self) -> Family: ...

    @property
    def disentangles(self) -> bool: ...


def check_motion(mover: Mover, mode: str, adapt_scale: bool) -> None:
    """Refuse a way to carry motion over that this family, or these weights, do not have."""
    family = mover.family
    family.check_mode(mode)
    if mode == "avd" and not mover.disentangles:
        raise FommError(
            "These weights do not hold the network of mode avd.",
            "`fomm train avd --init WEIGHTS` trains it; or use --mode relative.",
        )
    if mode == "relative" and not adapt_scale and family.always_scales:
        raise FommError(f"Relative motion is always scaled in {family.title}.", "Leave out --no-adapt-scale.")


def usual_motion(engine: Engine) -> tuple[str, bool]:
    """The mode these weights are animated in where nobody says, and whether relative movements are scaled."""
    mode, scaled, *_ = engine.usual
    if mode == "avd" and not engine.disentangles:  # its network is trained last, and may be still to come
        mode = "relative"
    return mode, scaled

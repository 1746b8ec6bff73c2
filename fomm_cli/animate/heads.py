"""The head in what a network sees: how much of it, beside how much of the other's, and whether the border holds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fomm_cli.boxes import SIDES, Box, Edges
from fomm_cli.engine.base import Engine
from fomm_cli.media.image import Frame

ALIKE = 1.3
"""Heads that fill source and driving alike differ by no more than this factor."""


def seen_heads(picture: Frame, boxes: Sequence[Box], engine: Engine, detector: Path | None) -> list[Edges | None]:
    """The head in each of these parts of a picture, the one nearest to its middle.

    None where none is seen, and where nobody looks: weights that know no faces, families that cut by landmarks, no
    onnxruntime.
    """
    from fomm_cli.detectors.choice import SUITES, available
    from fomm_cli.detectors.fixed_box import SURE

    if engine.usual.framing is None or engine.family.crop != "auto" or not available(SUITES["face"]):
        return [None] * len(boxes)
    from fomm_cli.detectors.faces import FaceDetector

    heads = [found.box for found in FaceDetector(detector).detect(picture) if found.score >= SURE]
    return [_nearest(heads, box) for box in boxes]


def _nearest(heads: Sequence[Edges], box: Box) -> Edges | None:
    def aside(head: Edges) -> float:
        x, y = head[0] + head[2] - 2 * box.left - box.width, head[1] + head[3] - 2 * box.top - box.height
        return max(abs(x) / box.width, abs(y) / box.height)

    near = min(heads, key=aside, default=None)
    return None if near is None or aside(near) > 1 else near


def head_share(head: Edges | None, box: Box) -> float | None:
    """The head's longer side in shorter sides of the box; None without a head."""
    return None if head is None else _side(head) / min(box.width, box.height)


def unlike(source: float | None, driving: float | None, which: str = "") -> list[str]:
    """What is to be said of a head that fills source and driving by such shares.

    which  the source among several, as " of face 1"
    """
    if source is None or driving is None or 1 / ALIKE <= source / driving <= ALIKE:
        return []
    return [
        f"The head fills {source:.0%} of the source's crop{which} and {driving:.0%} of the clip's: expect distortions. "
        "Cut both alike (--crop-source or --face, --crop-driving)."
    ]


def held(head: Edges | None, box: Box, sides: Sequence[bool], pin: float, which: str = "") -> list[str]:
    """What is to be said of a head that lies where less than half of its movement is left.

    sides  which of left, top, right, bottom are held
    pin    share of the box over which movement dies away towards them
    """
    if head is None:
        return []
    left, top, right, bottom = box.edges
    rooms = (head[0] - left, head[1] - top, right - head[2], bottom - head[3])
    reach = pin / 2 * min(box.width, box.height)
    names = [name for name, room, side in zip(SIDES, rooms, sides, strict=True) if side and room < reach]
    if not names:
        return []
    return [
        f"The head{which} lies in the pinned border ({', '.join(names)}), which holds hair and chin: "
        "give it a larger box, or less --pin."
    ]


def _side(edges: Edges) -> float:
    return max(edges[2] - edges[0], edges[3] - edges[1])

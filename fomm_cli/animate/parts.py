"""Which parts of a picture move: faces that are found in it, or boxes of anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fomm_cli.animate.crops import face_matrix
from fomm_cli.boxes import Box, Edges, parse_box, shaped, square
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError, counted, nearest
from fomm_cli.media import affine
from fomm_cli.media.image import Frame
from fomm_cli.model.family import FRAMING

WORDS = ["largest", "all"]
SMALLEST, MOST = 48, 16
"""Of `all`: pixels of a head's longer side, and how many."""
LIFT = 0.05
"""Of a crop around a head: the share of its side by which it is higher."""

Crop = Box | affine.Matrix


class Found(NamedTuple):
    """A face, from brow to chin, and the head around it."""

    face: Edges
    head: Edges


def parse_face(text: str) -> str | tuple[int, ...] | Box:
    """`largest`, `all`, numbers of faces from 0 with commas, or a box x,y,w,h: four numbers are a box."""
    if text in WORDS:
        return text
    box = parse_box(text)
    if box is not None:
        return box
    if re.fullmatch(r"\d{1,4}(,\d{1,4})*", text):
        return tuple(int(number) for number in text.split(","))
    raise FommError(
        f"There is no face {text!r}.", f"{nearest(text, WORDS)} Or its number from the left, from 0, or a box: x,y,w,h."
    )


def choose(
    picture: Frame, path: Path, words: Sequence[str], engine: Engine, turned: bool, detector: Path | None
) -> tuple[list[Crop], list[str]]:
    """The crops of the faces that are meant, in the order they are named, and what is to be said of them.

    turned   whether the crops of this family are turned with the face, as `crops.face_matrix` has them
    """
    wanted = [parse_face(text) for text in words]
    found = [] if all(isinstance(each, Box) for each in wanted) else find(picture, path, detector)
    height, width = picture.shape[:2]
    crops: list[Crop] = []
    warnings: list[str] = []
    aspect = engine.size[1] / engine.size[0]
    for each in wanted:
        if isinstance(each, Box):
            _check_inside(each, picture, path)
            crops.append(shaped(each, aspect))
            continue
        for number in _numbers(each, found, path, warnings):
            face, head = found[number]
            if turned:
                crops.append(face_matrix(picture, face, engine.output_size))
            else:
                crops.append(shaped(head_box(head, width, height, engine.usual.framing or FRAMING), aspect))
    return crops, warnings


def find(picture: Frame, path: Path, detector: Path | None) -> list[Found]:
    """All faces of a picture, from left to right. FommError where there is none."""
    from fomm_cli.detectors.faces import FaceDetector, head

    faces = [found.box for found in FaceDetector(detector).faces(picture)]
    if not faces:
        raise FommError(
            f"No face was found in {path}.", "Say where it is, which works for anything: --face x,y,w,h in pixels."
        )
    return [Found(face, head(face)) for face in sorted(faces, key=lambda box: box[0] + box[2])]


def head_box(head: Edges, width: int, height: int, framing: float = FRAMING) -> Box:
    """The square crop around a head: `framing` times as large, somewhat higher.

    It is shifted into the picture, but no farther than networks have seen heads aside: of a head that the picture's
    edge cuts off, the crop goes on beyond the edge.
    """
    lift = LIFT * framing * max(head[2] - head[0], head[3] - head[1])
    raised = (head[0], head[1] - lift, head[2], head[3] - lift)
    box = square(raised, width, height, (framing - 1) / 2)
    left = _near(box.left, (raised[0] + raised[2] - box.width) / 2, box.width)
    return box._replace(left=left, top=_near(box.top, (raised[1] + raised[3] - box.height) / 2, box.height))


def _near(begin: int, middle: float, side: int) -> int:
    """Where a box begins, no farther than ASIDE from where it would lie around the middle."""
    from fomm_cli.detectors.fixed_box import ASIDE

    return min(max(begin, round(middle - ASIDE * side)), round(middle + ASIDE * side))


def _numbers(wanted: str | tuple[int, ...], found: list[Found], path: Path, warnings: list[str]) -> Sequence[int]:
    sizes = [max(head[2] - head[0], head[3] - head[1]) for _, head in found]
    if wanted == "largest":
        return [int(np.argmax(sizes))]
    if wanted == "all":
        large = [number for number, size in enumerate(sizes) if size >= SMALLEST]
        if not large:
            raise FommError(f"All faces in {path} are smaller than {SMALLEST} pixels.", "Take a larger picture.")
        if len(large) > MOST:
            warnings.append(f"Of {len(large)} faces in {path} the {MOST} largest are animated.")
            large = sorted(sorted(large, key=lambda number: -sizes[number])[:MOST])
        return large
    for number in wanted:
        if int(number) >= len(found):
            boxes = "; ".join(",".join(str(round(edge)) for edge in head) for _, head in found)
            raise FommError(
                f"There is no face {number} in {path}: {counted(len(found), 'face')} found.",
                f"Numbers count from 0, from left to right. Found (left, top, right, bottom): {boxes}.",
            )
    return [int(number) for number in wanted]


def _check_inside(box: Box, picture: Frame, path: Path) -> None:
    height, width = picture.shape[:2]
    left, top, right, bottom = box.edges
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise FommError(
            f"The box {','.join(map(str, box))} lies outside {path}, which is {width} x {height} pixels.",
            "x,y is the left top corner of the box, w,h its size, in pixels.",
        )
    if max(box.width, box.height) > 4 * max(width, height):
        raise FommError(f"The box {','.join(map(str, box))} is far larger than {path}.", "Give it in pixels: x,y,w,h.")

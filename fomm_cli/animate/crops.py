"""Which part of a picture or clip the network sees, from a word or from numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.boxes import Box, Edges, center_box, pad_box, parse_box, shaped
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import Frame
from fomm_cli.model.family import FRAMING

_FARTHEST = 16
"""How many times the picture's longer side a box may be."""

_SEEN = 250
"""Pictures of a clip in which auto looks for a face: long clips are not read twice for it."""

WORDS = ["auto", "center", "pad", "face", "portrait", "motion"]

Look = Callable[[], Iterable[Frame]]
"""Opens the pictures in which a crop is to be found."""


class Cut(NamedTuple):
    """What the network sees of a picture or clip.

    box  None = the largest in the middle, cut to fractions of a pixel
    how  what auto came to, to be told; empty where somebody said what to cut
    """

    box: Box | None
    how: str = ""


def check_crop(text: str, still: bool = False) -> None:
    """Refuse, before any file is read, what is neither a word nor x,y,w,h; in a still nothing moves."""
    if still and text == "motion":
        raise FommError("There is no motion in a picture.", "Crop it by center, pad, face, portrait or x,y,w,h.")
    if text not in WORDS:
        _numbers(text)


def needs_frames(text: str) -> bool:
    """Whether the crop is found by looking at the clip rather than at its size."""
    return text in {"face", "motion", "portrait"}


def cut(
    text: str,
    size: tuple[int, int],
    aspect: float,
    look: Look,
    detector: Path | None = None,
    framing: float | None = None,
) -> Cut:
    """The part of a picture or clip of `size` = (H, W) in the network's shape, by the word of an option.

    text     as in `crop_box`; auto: around the face, where one is seen and the middle does not show it about so already
    look     called where the crop has to be found
    framing  of the weights: side of the square around a face in heads; None: they know no faces
    """
    if text == "auto" and framing is not None:
        return _around_face(size, aspect, look, detector, framing)
    if text in {"auto", "center"}:
        return Cut(None)
    return Cut(crop_box(text, size, aspect, look() if needs_frames(text) else None, detector, framing))


def _around_face(size: tuple[int, int], aspect: float, look: Look, detector: Path | None, framing: float) -> Cut:
    from fomm_cli.detectors.choice import SUITES, available
    from fomm_cli.detectors.fixed_box import SURE, find_face

    if not available(SUITES["face"]):
        return Cut(None, f"in the middle: faces are found with onnxruntime, {SUITES['face'].install}")
    from fomm_cli.detectors.faces import FaceDetector

    found = find_face(islice(look(), _SEEN), FaceDetector(detector), SURE)
    if found is None:
        return Cut(None, "in the middle, no face seen")
    height, width = size
    if found.fits(center_box(height, width), width, height, framing):
        return Cut(None, "in the middle, where the face is")
    return Cut(shaped(found.framed(width, height, framing), aspect), "around the face")


def told(source: str, driving: str) -> str:
    """What auto came to for both, in one sentence; empty where it was not asked."""
    if source == driving and source:
        return f"Cut: source and clip {source}"
    parts = [f"{name} {how}" for name, how in (("source", source), ("clip", driving)) if how]
    return f"Cut: {'; '.join(parts)}" if parts else ""


def crop_box(
    text: str,
    size: tuple[int, int],
    aspect: float,
    frames: Iterable[Frame] | None = None,
    detector: Path | None = None,
    framing: float | None = None,
) -> Box:
    """The box for a picture of `size` = (H, W), in the shape `aspect` = width / height of the network.

    text    center  the largest box in the middle
            pad     the whole picture and as much of its continued edge as the shape needs
            x,y,w,h pixels from the top left corner of the upright picture; the shorter side is grown to the shape
            portrait  the face as LivePortrait was trained to see it, found in `frames` likewise
            face, motion  found in `frames` (one picture, or all of the clip), one box for all of it; `detector` is the
                    file of the network that finds faces, None = the bundled one; `framing` as in `cut`
    """
    height, width = size
    if text == "center":
        return center_box(height, width, aspect)
    if text == "pad":
        return pad_box(height, width, aspect)
    if text == "portrait":
        return shaped(_portrait_box(frames if frames is not None else [], detector), aspect)
    if needs_frames(text):
        from fomm_cli.detectors.fixed_box import fixed_box

        pictures = frames if frames is not None else []
        return shaped(fixed_box(pictures, text, detector, framing=framing or FRAMING), aspect)
    box = _numbers(text)
    if box.left >= width or box.top >= height or box.left + box.width <= 0 or box.top + box.height <= 0:
        raise FommError(
            f"The crop {text} lies outside the picture, which is {width} x {height} pixels.",
            "x,y is the top left corner of the box, w,h its size, in pixels.",
        )
    if max(box.width, box.height) > _FARTHEST * max(width, height):
        raise FommError(
            f"The crop {text} is far larger than the picture, which is {width} x {height} pixels.",
            "To see all of it, use pad.",
        )
    return shaped(box, aspect)


def portrait_finder(detector: Path | None) -> Callable[[Frame], Any]:
    """Finds the turned square around a picture's largest face, a `detectors.framing.Rectangle` or None."""
    from fomm_cli.detectors.framing import SOURCE, open_finder

    finder = open_finder(detector)
    return lambda frame: finder.find(frame, SOURCE)


def portrait_matrix(picture: Frame, path: Path, size: tuple[int, int], detector: Path | None) -> NDArray[np.float64]:
    """The turned crop of the largest face as LivePortrait was trained to see it: (2, 3), picture to crop of `size`."""
    found = portrait_finder(detector)(picture)
    if found is None:
        raise _faceless(str(path))
    return found.matrix(size[0])


def face_matrix(picture: Frame, face: Edges, size: tuple[int, int]) -> NDArray[np.float64]:
    """Likewise, of a face whose box from brow to chin is known."""
    from fomm_cli.detectors.framing import SOURCE, finder_of

    found = finder_of(lambda _: face).find(picture, SOURCE)
    assert found is not None
    return found.matrix(size[0])


def _portrait_box(frames: Iterable[Frame], detector: Path | None) -> Box:
    """One upright square for a clip: the mean of those of its frames that show a face."""
    from fomm_cli.detectors.framing import DRIVING, open_finder

    finder = open_finder(detector)
    pictures = [frames] if isinstance(frames, np.ndarray) else frames
    squares = [found.edges() for frame in pictures if (found := finder.find(frame, DRIVING)) is not None]
    if not squares:
        raise _faceless("the driving clip")
    left, top, right, bottom = np.mean(squares, axis=0)
    side = round((right - left + bottom - top) / 2)  # pixels are counted by their centres there, by their edges here
    return Box(round(left + 0.5), round(top + 0.5), side, side)


def _faceless(where: str) -> FommError:
    return FommError(
        f"No face was found in {where}.",
        "A portrait crop is for photographs of people; for animals and drawings take weights of another family "
        "(`fomm weights list`), or say where to look: x,y,w,h.",
    )


def _numbers(text: str) -> Box:
    box = parse_box(text)
    if box is None:
        raise FommError(f"{text!r} is no crop.", f"{nearest(text, WORDS)} Or give x,y,w,h in pixels, as 40,0,256,256.")
    return box

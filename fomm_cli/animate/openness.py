"""How open eyes and lips are in source and driving, for families whose poses may tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame

Openness = NDArray[np.float64]
"""(3,): of the left eye, the right eye and the lips, as `detectors.framing.ratios` measures it."""


def openness_finder(detector: Path | None) -> Callable[[Frame], Openness | None]:
    """Tells how open eyes and lips of a picture's largest face are, None where there is no face.

    detector   the file of the network that finds faces, None = the bundled one
    """
    from fomm_cli.detectors.framing import open_finder, ratios

    landmarks = open_finder(detector).landmarks
    if landmarks is None:
        raise FommError(
            "How open eyes and lips are takes the network for face points, which is not here.",
            'Leave out --set eyes, lip and rest, or `pip install "fomm-cli[face]"` and let it be fetched.',
        )

    def look(frame: Frame) -> Openness | None:
        points = landmarks.points(frame)
        return None if points is None else ratios(points)

    return look


def held(seen: Sequence[Openness | None], where: str) -> NDArray[np.float64]:
    """What was seen frame by frame, (T, 3); where no face was, as in the last that showed one, else as in the first."""
    last = next((each for each in seen if each is not None), None)
    if last is None:
        raise FommError(
            f"No face was found in {where} to tell how open eyes and lips are.", "Leave out --set eyes, lip and rest."
        )
    rows = []
    for each in seen:
        last = last if each is None else each
        rows.append(last)
    return np.stack(rows)

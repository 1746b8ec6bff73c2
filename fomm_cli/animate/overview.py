"""A batch at a glance: a row for each source, and of each driving some moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fomm_cli import draw
from fomm_cli.animate.scene import open_picture
from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, fit
from fomm_cli.media.video import read_frames
from fomm_cli.motion.file import is_motion

MOMENTS = 3
SIDE = 112
"""Pixels of a picture of the sheet."""


def overview(outcomes: Sequence[dict[str, Any]], folder: Path, moments: int = MOMENTS, side: int = SIDE) -> Frame:
    """The sources (rows) and what their results show at some moments of each driving (columns): uint8 (H, W, 3).

    outcomes  as `animate_batch` returns them; what failed leaves its cells empty, or has no row or column at all
    The first row shows the drivings themselves, where they have pictures. Moments are spread evenly over a clip.
    """
    done = {(each["source"], each["driving"]): each for each in outcomes if "error" not in each}
    if not done:
        raise FommError("Nothing of the batch came to be shown on a sheet.", "Its errors tell why.")
    sources, drivings = (list(dict.fromkeys(each[key] for each in done.values())) for key in ("source", "driving"))
    nothing: list[Frame | None] = [None] * moments
    heading: list[Frame | None] = [None]
    for driving in drivings:
        path, count = Path(driving), next(_count(each, folder) for (_, at), each in done.items() if at == driving)
        heading += nothing if is_motion(path) else _moments(path, count, moments, side)
    rows = [heading]
    for source in sources:
        line: list[Frame | None] = [fit(open_picture(Path(source), clips=True), (side, side))]
        for driving in drivings:
            each = done.get((source, driving))
            made = None if each is None else _moments(folder / each["output"], _count(each, folder), moments, side)
            line += made or nothing
        rows.append(line)
    return draw.sheet(rows)


def _count(outcome: dict[str, Any], folder: Path) -> int:
    """Frames of a result; a run that was killed may not have told."""
    return int(outcome.get("frames") or sum(1 for _ in read_frames(folder / outcome["output"])))


def _moments(path: Path, frames: int, moments: int, side: int) -> list[Frame | None]:
    wanted = [int((number + 0.5) * frames / moments) for number in range(moments)]
    found: dict[int, Frame] = {}
    for number, picture in enumerate(read_frames(path, stop=wanted[-1] + 1)):
        if number in wanted:
            found[number] = fit(picture, (side, side))
    return [found.get(number) for number in wanted]

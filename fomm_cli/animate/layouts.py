"""What an output shows, frame by frame: the result, or what it came from beside it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from fomm_cli import draw
from fomm_cli.animate.backdrop import on_checks
from fomm_cli.animate.compose import resized
from fomm_cli.animate.whole import Stage
from fomm_cli.media.image import Frame, resize


class Step(NamedTuple):
    """A frame on its way to the writers.

    time, lasts   when it is shown, and how long, in seconds
    driving       the driving frame, in the network's size; None where no layout shows it
    poses, moved  the poses of a whole batch, as they were detected and as they are rendered
    row           this frame's place in them
    """

    result: Frame
    time: Fraction
    lasts: Fraction
    driving: Frame | None
    poses: Any
    moved: Any
    row: int


def _beside(pictures: list[Frame]) -> Frame:
    """Pictures in a row, those lower than the highest enlarged to it."""
    pictures = [on_checks(picture) for picture in pictures]
    height = max(picture.shape[0] for picture in pictures)
    same = [resize(each, (height, round(each.shape[1] * height / each.shape[0]))) for each in pictures]
    return np.concatenate(same, axis=1)


def _result(scene: Stage, step: Step) -> Frame:
    return step.result


def _side_by_side(scene: Stage, step: Step) -> Frame:
    assert step.driving is not None
    return _beside([scene.source, step.driving, step.result])


def _keypoints(stage: Stage, step: Step) -> Frame:
    (scene,) = stage.faces
    assert step.driving is not None
    shown = [(scene.source, scene.pose, 0), (step.driving, step.poses, step.row), (step.result, step.moved, step.row)]
    return _beside([_marked(resized(on_checks(picture), scene.size), pose, row) for picture, pose, row in shown])


def _marked(picture: Frame, pose: Any, row: int) -> Frame:
    frames = getattr(pose, "jacobian", None)
    return draw.keypoints(picture, pose[0][row, :, :2], None if frames is None else frames[row])


LAYOUTS: dict[str, Callable[[Stage, Step], Frame]] = {
    "result": _result,
    "side-by-side": _side_by_side,
    "keypoints": _keypoints,
}

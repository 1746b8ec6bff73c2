"""What a motion is, in numbers and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.chart import Curve, page, panel
from fomm_cli.errors import FommError
from fomm_cli.media.image import write_image
from fomm_cli.model.relative import Split
from fomm_cli.motion.controls import cuts
from fomm_cli.motion.motion import Motion, jitter


def summary(motion: Motion) -> dict[str, Any]:
    """Length, movement and origin as plain values. Lengths are in units of [-1, 1], or `_px` of the network's frame."""
    points = np.asarray(motion.poses[0], dtype=np.float64)
    head = _head(motion)
    pixels = (min(motion.size) - 1) / 2
    seconds = motion.seconds
    speeds = _speeds(points, seconds)
    spread = np.sqrt(np.square(points - points.mean(axis=1, keepdims=True)).sum(axis=-1).mean())
    reach = np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=-1))
    return {
        "frames": len(motion),
        "seconds": round(float(motion.duration), 3),
        "rate": str(motion.rate),
        "variable_rate": motion.variable_rate,
        "points": int(points.shape[1]),
        "motion_model": motion.family,
        "detector": motion.detector or None,
        "weights": motion.notes.get("fomm.weights"),
        "size": list(motion.size),
        "private": motion.relative,
        "openness": getattr(motion.poses, "openness", None) is not None,
        "anchor": motion.anchor,
        "cuts": cuts(motion),
        "reach": round(float(reach.max()), 4),
        "reach_px": round(float(reach.max() * pixels), 2),
        "speed": round(float(speeds.mean()), 4),
        "speed_max": round(float(speeds.max()), 4),
        "speed_px": round(float(speeds.mean() * pixels), 2),
        "jitter_px": round(jitter(points) * pixels, 4),
        "pose_spread": None if motion.relative else round(float(spread), 4),
        "head_share": None if head is None else round(head.explained, 3),
        "mirror_residual": None if motion.partner is None else round(motion.residual, 4),
        "sound": "embedded" if motion.sound else "referenced" if "fomm.audio" in motion.notes else None,
        "history": list(motion.history),
    }


def plot(motion: Motion, path: str | Path, force: bool = False) -> None:
    """Write a picture of the motion: where each point goes, how fast, and what the head does."""
    points = np.asarray(motion.poses[0], dtype=np.float64)
    if len(motion) < 2:
        raise FommError("A motion of one frame has no curves.", "Use a longer clip.")
    seconds = motion.seconds
    shift = points - points[:1]
    panels = [
        panel("x of each point, since the first frame", _lines(seconds, shift[..., 0])),
        panel("y of each point", _lines(seconds, shift[..., 1])),
        panel("step to the next pose, in sizes of it", [Curve("", seconds[1:], motion.steps())]),
        panel("speed, in units of [-1, 1] a second", [Curve("", seconds[1:], _speeds(points, seconds))]),
    ]
    head = _head(motion)
    if head is not None and {"turn", "size"} <= set(motion.space().parts):
        turn, size = (head.head[:, motion.space().parts[part]] for part in ("turn", "size"))
        turns = np.concatenate([np.degrees(turn), 100 * np.expm1(size)], axis=1)
        panels.append(panel("the head: turn in degrees (red), growth in % (blue)", _lines(seconds, turns)))
    log = _logarithms(motion)
    if log is not None:
        half = (log[..., 0, 0] + log[..., 1, 1]).mean(axis=1) / 2
        turn = (log[..., 1, 0] - log[..., 0, 1]).mean(axis=1) / 2
        panels.append(
            panel(
                "frames on average: log of scale (red), angle (blue)", _lines(seconds, np.stack([half, turn], axis=1))
            )
        )
    write_image(path, page(panels), force)


def _lines(seconds: NDArray[Any], values: NDArray[Any]) -> list[Curve]:
    return [Curve("", seconds, column) for column in values.T]


def _speeds(points: NDArray[Any], seconds: NDArray[Any]) -> NDArray[np.float64]:
    """Of the points on average, between frames (T - 1,); one 0 where there is one frame."""
    if len(points) < 2:
        return np.zeros(1)
    moved = np.sqrt(np.square(np.diff(points, axis=0)).sum(axis=-1)).mean(axis=1)
    return moved / np.diff(seconds)


def _head(motion: Motion) -> Split | None:
    """The movement of the whole; None where the motion or its family does not tell it."""
    if motion.relative:
        return None
    try:
        space = motion.space()
        return space.split(space.channels(motion.poses))
    except FommError:
        return None


def _logarithms(motion: Motion) -> NDArray[np.float64] | None:
    """Of the frames' change since the anchor, (T, K, 2, 2); None for points without frames."""
    count = motion.poses[0].shape[1]
    try:
        channels = motion.space().channels(motion.poses)
    except FommError:
        return None
    if channels.shape[1] != 6 * count:
        return None
    return channels[:, 2 * count :].reshape(-1, count, 2, 2)

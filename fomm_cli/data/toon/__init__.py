"""Toon: parametric cartoon faces whose identity and motion are separate, so that the true animation is known."""

from fomm_cli.data.toon.drawing import boxes, draw
from fomm_cli.data.toon.person import Identity, sample_identity
from fomm_cli.data.toon.trajectories import Motion, neutral, relative, sample_motion, still_head, still_pose

VERSION = 1  # of the pictures: any change to what a seed looks like raises it

__all__ = [
    "VERSION",
    "Identity",
    "Motion",
    "boxes",
    "draw",
    "neutral",
    "relative",
    "sample_identity",
    "sample_motion",
    "still_head",
    "still_pose",
]

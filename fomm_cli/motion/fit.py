"""Whether a motion drives a network: its points must be that network's points."""

from __future__ import annotations

from typing import Any

from fomm_cli.errors import FommError
from fomm_cli.motion.motion import Motion


def unlike(motion: Motion, family: str, pose: Any = None) -> str:
    """Why a motion can never go with weights of a family, one of whose poses is `pose`; "" where it could."""
    if motion.family != family:
        return f"it is motion of {motion.family}, the weights are of {family}"
    if pose is None:
        return ""
    ours, theirs = ([None if part is None else part.shape[1:] for part in each] for each in (motion.poses, pose))
    if ours[0] != theirs[0]:
        return f"it has {motion.poses[0].shape[1]} points, the weights have {pose[0].shape[1]}"
    return "" if ours == theirs else "its points come with other things than those of the weights"


STRANGE = "it comes from another detector or an unknown one, and point 3 of one network is not point 3 of another"


def check_fit(motion: Motion, family: str, pose: Any, detector: str, forced: bool = False) -> list[str]:
    """Refuse a motion that these weights cannot use; warnings, where `forced` lets one of another detector pass.

    pose, detector   a pose of the weights, of batch 1, and the identity of what saw it
    """
    if why := unlike(motion, family, pose):
        raise FommError(f"The motion does not fit these weights: {why}.", "Extract it again with them.")
    if motion.detector and motion.detector == detector:
        return []
    if not forced:
        raise FommError(
            f"The motion does not fit these weights: {STRANGE}.",
            "Extract it with them, or go on nevertheless with --force-motion.",
        )
    return [f"The motion may not fit: {STRANGE}."]

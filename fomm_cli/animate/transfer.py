"""Whose motion goes where: driving keypoints made the source's, absolutely or relative to a common pose.

Works on numpy arrays and on torch tensors alike, and gives back the kind it was given.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from fomm_cli.errors import FommError, nearest
from fomm_cli.model.pose import as_array, hull_scale, inverse, like

Mode = Literal["relative", "absolute"]
MODES = list(get_args(Mode))


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise FommError(f"There is no mode {mode!r}.", nearest(mode, MODES))


def transfer(
    source: Any, driving: Any, initial: Any | None = None, mode: str = "relative", adapt_scale: bool = True
) -> Any:
    """The keypoints to render with.

    source, initial  poses of batch 1 (or B); `initial` is the driving pose that stands for the source's
    driving          poses of batch B
    mode             absolute: the driving keypoints as they are
                     relative: p = p_source + s (p_driving - p_initial), J = J_driving J_initial^-1 J_source
    adapt_scale      s = sqrt(hull area of the source's points / that of the initial ones), else 1; also 1 where one of
                     the hulls is degenerate, so that points on a line move by what they are told
    returns          a pose of batch B and of the type of `driving`

    A pose is any NamedTuple whose first two fields are the points (B, K, 2) and the Jacobians (B, K, 2, 2) or None.
    """
    check_mode(mode)
    if mode == "absolute":
        return driving
    if initial is None:
        raise ValueError("relative motion needs the initial driving pose")
    p_source, p_driving, p_initial = (as_array(pose[0]) for pose in (source, driving, initial))
    scale = hull_scale(p_source, p_initial) if adapt_scale else np.ones(1)
    value = p_source + scale[:, None, None].astype(p_source.dtype) * (p_driving - p_initial)
    jacobian = None
    if driving[1] is not None:
        j_source, j_driving, j_initial = (as_array(pose[1]) for pose in (source, driving, initial))
        jacobian = like(j_driving @ inverse(j_initial) @ j_source, driving[1])
    return type(driving)(like(value, driving[0]), jacobian)

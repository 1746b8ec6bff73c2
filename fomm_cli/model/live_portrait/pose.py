"""The pose of a head, whose motion goes where, and what is smoothed: numpy alone.

x = s (kp R + exp) + (t_x, t_y, 0): canonical keypoints turned, bent by the expression, scaled and moved (eq. 2 of
arXiv 2407.03168). Points are xyz in [-1, 1]: x right, y down, z into the picture.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError, nearest

REGIONS = ("all", "exp", "pose", "lip", "eyes")
"""What the driving may move: everything, the face, the head, the lips, the eyes."""

LIP = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)

PARTED = 0.03
"""Lips at least so open are closed where they are put at rest."""


class HeadPose(NamedTuple):
    """The pose of heads, arrays or tensors.

    value     (B, K, 3): the keypoints x
    kp        (B, K, 3): canonical keypoints, the head's shape
    rotation  (B, 3, 3): R, multiplied from the right to row vectors
    exp       (B, K, 3): the expression
    t         (B, 3): the shift; its z is never used
    scale     (B, 1)
    openness  (B, 3): how open the left eye, the right eye and the lips are, as `detectors.framing.ratios` measures it
              in the picture; of a transferred pose, how open the driving's are. None where nobody looked.
    """

    value: Any
    kp: Any
    rotation: Any
    exp: Any
    t: Any
    scale: Any
    openness: Any = None


class Finish(NamedTuple):
    """What is done to transferred keypoints before they are rendered, in the order of the fields but as `after` says.

    stitching   move them so that the picture's border joins the source
    multiplier  x_s + multiplier (x_d - x_s): more or less of the movement
    eyes, lip   None, or how wide they open: (B, 3) the source's left and right ratio and the wanted one, (B, 2) the
                source's and the wanted one
    after       add the offsets of eyes and lip to stitched keypoints instead of stitching what they moved
    """

    stitching: bool = True
    multiplier: float = 1.0
    eyes: Any = None
    lip: Any = None
    after: bool = False


def keypoints(kp: Any, rotation: Any, exp: Any, t: Any, scale: Any) -> NDArray[Any]:
    """x of the five parameters of a `HeadPose`; (B, K, 3)."""
    return scale[:, None] * (kp @ rotation + exp) + (t * (1, 1, 0))[:, None].astype(kp.dtype)


def transfer(
    source: HeadPose,
    driving: HeadPose,
    initial: HeadPose | None,
    mode: str = "relative",
    region: str = "all",
    clip: bool = False,
    smoothing: float = 0.0,
    told: tuple[int, ...] = (),
) -> HeadPose:
    """The source's head as the driving moves it.

    source     of batch 1; of the driving's batch where the source is a clip
    initial    the driving pose that stands for the source's; of a single driving picture `resting`
    mode       relative: R_i R_0^T R_s, exp_s + exp_i - exp_0, t_s + t_i - t_0, s_s s_i / s_0
               absolute: R_i, exp_i in the points that mean expression rather than likeness, t_i, s_s
    region     one of REGIONS; what it leaves out stays the source's
    clip       the source is a clip: place (in relative mode) and size stay its own
    smoothing  variance of the observations for `smooth`, over all of the batch; 0 smooths nothing
    told       points whose expression stays the source's, because something else moves them
    returns    a pose of the driving's batch

    The published option "expression-friendly" has no counterpart: in relative mode its factor is 1.
    """
    if region not in REGIONS:
        raise FommError(f"There is no region {region!r}.", nearest(region, list(REGIONS)))
    rotation, exp, t, scale = driving.rotation, driving.exp, driving.t, source.scale
    if mode == "relative":
        if initial is None:
            raise ValueError("relative motion needs the initial driving pose")
        rotation = driving.rotation @ np.swapaxes(initial.rotation, 1, 2) @ source.rotation
        exp = source.exp + (driving.exp - initial.exp)
        t = source.t if clip else source.t + (driving.t - initial.t)
        scale = source.scale if clip else source.scale * (driving.scale / initial.scale)
    if smoothing:
        rotation, exp = smooth(rotation, smoothing), smooth(exp, smoothing)
    bent = _bent(region, mode == "absolute" or clip)
    bent[list(told)] = False
    exp = np.where(bent[: exp.shape[1]], exp, source.exp)
    if region not in ("all", "pose"):
        rotation, t = source.rotation, source.t
    if region != "all":
        scale = source.scale
    batch = len(driving.value)
    parts = (source.kp, rotation, exp, t, scale)
    kp, rotation, exp, t, scale = (np.array(np.broadcast_to(part, (batch, *part.shape[1:]))) for part in parts)
    return HeadPose(keypoints(kp, rotation, exp, t, scale), kp, rotation, exp, t, scale, driving.openness)


def resting(driving: HeadPose, region: str = "all", clip: bool = False) -> HeadPose:
    """The anchor of a single driving picture: its own head, at rest. So the expression alone is transferred."""
    exp = np.zeros_like(driving.exp)
    if region != "eyes" or clip:  # so the original, whose pictures keep the lids of the driving's anchor
        exp = exp + NEUTRAL[: exp.shape[1]].astype(exp.dtype)
    return driving._replace(exp=exp)


def steady(openness: NDArray[Any]) -> float:
    """How open the eyes of a source clip are held, whose frames are so open (T, 3): as in the first, were they open."""
    mean = float(openness[0, :2].mean())
    return 0.39 if mean < 0.18 else mean


def distance(source: HeadPose, driving: HeadPose) -> NDArray[np.float64]:
    """How far each driving pose (batch B) is from the source's (batch 1), in sizes of the head; (B,).

    Turn and expression alone, both put on the source's canonical keypoints: neither place, size nor likeness counts.
    """
    kp = np.asarray(source.kp, dtype=np.float64)
    difference = kp @ (driving.rotation - source.rotation) + (driving.exp - source.exp)
    size = np.square(kp - kp.mean(axis=1, keepdims=True)).sum(axis=-1).mean(axis=-1)
    return np.sqrt(np.square(difference).sum(axis=-1).mean(axis=-1) / np.maximum(size, 1e-18))


def smooth(values: NDArray[Any], observation: float, walk: float = 1e-5) -> NDArray[Any]:
    """Each number of (T, ...) along T, as a random walk seen with noise: a Kalman filter, then backwards (RTS).

    observation  variance of what is seen: larger is smoother
    walk         variance of a step
    """
    values = np.asarray(values)
    seen = values.astype(np.float64)
    means = np.empty_like(seen)
    variances = np.empty(len(seen))
    mean, variance = seen[0], 1.0
    for at, value in enumerate(seen):
        gain = variance / (variance + observation)
        mean = mean + gain * (value - mean)
        means[at], variances[at] = mean, (1 - gain) * variance
        variance = variances[at] + walk
    for at in range(len(seen) - 2, -1, -1):
        means[at] += variances[at] / (variances[at] + walk) * (means[at + 1] - means[at])
    return means.astype(values.dtype)


def settled(source: Any, driving: Any, finish: Finish, stitch: Any, eyes: Any, lip: Any) -> Any:
    """Keypoints (B, K, 3) finished as told.

    source             (B or 1, K, 3)
    stitch, eyes, lip  the networks: of two sets of keypoints; of one and ratios, giving offsets
    """
    offsets = [
        network(source, ratios) for network, ratios in ((eyes, finish.eyes), (lip, finish.lip)) if ratios is not None
    ]
    moved = driving if finish.after else sum(offsets, driving)
    if finish.stitching:
        moved = stitch(source, moved)
    if finish.after:
        moved = sum(offsets, moved)
    return moved if finish.multiplier == 1 else source + finish.multiplier * (moved - source)


def _bent(region: str, subset: bool) -> NDArray[np.bool_]:
    """Which numbers (21, 3) of the expression follow the driving; those of `subset` mean expression, not likeness."""
    bent = np.zeros((21, 3), dtype=bool)
    if region in ("lip", "eyes"):
        bent[list(LIP if region == "lip" else EYES)] = True
    elif region != "pose":
        bent[[1, 2, 6, *range(11, 21)]] = True
        bent[(3, 4, 5, 8, 9, 9), (1, 1, 2, 2, 1, 2)] = True
        bent |= not subset
    return bent


NEUTRAL: NDArray[np.float64] = np.array(
    [
        (-9.4524e-05, 0.00024222, -4.00974e-05),
        (0.000208596, 0.000468054, 1.27464e-05),
        (-0.000124602, 0.000324972, 4.425e-06),
        (0.000119652, -0.000456624, 5.40852e-05),
        (-0.000265254, -7.4598e-05, -1.5528e-05),
        (-3.34884e-05, -0.000183036, -3.49404e-06),
        (-4.75428e-07, -4.52466e-07, 1.59498e-06),
        (-0.000541296, 0.0026328, 7.2486e-06),
        (-1.1694e-05, 5.00502e-06, 9.9888e-06),
        (8.0286e-07, 5.19132e-06, -0.000409344),
        (0.000166878, -1.9815e-05, -8.8548e-05),
        (-1.51536e-05, 8.2506e-05, 5.94012e-06),
        (-2.61054e-07, 2.7591e-06, 2.21028e-06),
        (-6.6282e-05, -6.8286e-05, -3.45318e-06),
        (-0.00083262, -0.00179592, -2.59176e-06),
        (6.9714e-06, 3.65514e-05, -1.8978e-06),
        (-4.80876e-06, 7.1148e-06, -1.03236e-05),
        (-0.00063684, -0.0011661, 5.62314e-05),
        (0.00028329, -1.45656e-05, 1.09746e-05),
        (-4.16022e-06, -0.0150906, -0.0025494),
        (0.000222474, 0.00562788, 0.00272646),
    ]
)
"""The expression (21, 3) of a face at rest, which the published network gives a single driving picture's anchor."""

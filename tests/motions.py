"""Motion made by formula: a head that turns, sways and comes near, a mouth in it, and as much noise as wanted."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.motion.motion import Motion


def similarities(count: int, sway: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """k and b of a head over `count` frames at 25 a second; the first frame is at rest."""
    t = np.arange(count) / 25
    k = np.exp(0.5 * sway * np.sin(2 * t) + 1.5j * sway * np.sin(1.3 * t))
    return k, sway * (np.sin(1.1 * t) + 0.5j * np.sin(1.7 * t))


def motion(
    count: int = 60,
    points: int = 9,
    noise: float = 0.0,
    sway: float = 0.15,
    mouth: float = 0.1,
    frames: bool = True,
    seed: int = 0,
    rate: Fraction = Fraction(25),
) -> Motion:
    """A motion of `count` frames; `mouth` moves a third of the points, `noise` is a standard deviation."""
    r = np.random.default_rng(seed)
    rest = r.uniform(-0.5, 0.5, (points, 2))
    z = rest[:, 0] + 1j * rest[:, 1]
    centre = z.mean()
    k, b = similarities(count, sway)
    opened = np.where(np.arange(points) < points // 3, 1j * mouth, 0) * np.sin(np.arange(count) / 3)[:, None]
    moved = k[:, None] * (z - centre + opened) + b[:, None] + centre
    value = np.stack([moved.real, moved.imag], -1) + r.normal(0, noise, (count, points, 2))
    jacobian: Any = None
    if frames:
        turn = np.stack([np.stack([k.real, -k.imag], -1), np.stack([k.imag, k.real], -1)], -2)
        base = np.eye(2) + r.normal(0, 0.3, (points, 2, 2))
        base[0] *= (1, -1)  # detectors have points whose frame is a mirror
        jacobian = (turn[:, None] @ base + r.normal(0, noise, (count, points, 2, 2))).astype(np.float32)
    times = tuple(Fraction(n) / rate for n in range(count))
    poses = Keypoints(value.astype(np.float32), jacobian)  # type: ignore[arg-type]
    return Motion(poses, times, rate, (64, 64), detector="sha256:" + "0" * 64)

"""A fair comparison: agree first, warm up, take turns, report median and tail."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.model.pixels import psnr


class Row(NamedTuple):
    """One way of doing the same work.

    run     does it once
    frames  frames a call
    """

    name: str
    run: Callable[[], Any]
    frames: int = 1


@dataclass
class Timing:
    """Milliseconds a frame.

    calls   of every call (CPU) or every round (GPU, where waiting for each call would slow it down)
    rounds  the mean of each round
    """

    calls: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.calls)

    @property
    def p95(self) -> float:
        return float(np.percentile(self.calls, 95))

    @property
    def best(self) -> float:
        return min(self.calls)

    def ratio(self, baseline: Timing) -> float:
        """How many times as fast as the baseline: the median over rounds, each against the baseline's same round."""
        return statistics.median(theirs / own for theirs, own in zip(baseline.rounds, self.rounds, strict=True))

    def as_dict(self, baseline: Timing) -> dict[str, float]:
        return {
            "ms_median": round(self.median, 3),
            "ms_p95": round(self.p95, 3),
            "ms_min": round(self.best, 3),
            "fps": round(1e3 / self.median, 2),
            "ratio": round(self.ratio(baseline), 3),
        }


def take_turns(
    rows: list[Row],
    rounds: int,
    frames: int,
    device: torch.device,
    warm_up: int = 3,
    progress: Callable[[str], None] = lambda text: None,
    processor_time: bool = False,
) -> dict[str, Timing]:
    """Time every row in every round, so that what else the machine does meets all of them alike.

    rounds   how often each row gets its turn
    frames   frames a turn, at least one call
    warm_up  calls before the first round
    processor_time  count what the processor spends on this process, not the time that passes
    """
    clock = time.process_time if processor_time else time.perf_counter
    timings = {row.name: Timing() for row in rows}
    for row in rows:
        progress(f"warming up: {row.name}")
        for _ in range(warm_up):
            row.run()
        _wait(device)
    for number in range(rounds):
        for row in rows:
            progress(f"round {number + 1} of {rounds}: {row.name}")
            calls = max(1, round(frames / row.frames))
            spent = []
            begin = clock()
            for _ in range(calls):
                start = clock()
                row.run()
                spent.append((clock() - start) * 1e3 / row.frames)
            _wait(device)
            mean = (clock() - begin) * 1e3 / (calls * row.frames)
            timings[row.name].rounds.append(mean)
            timings[row.name].calls += spent if device.type == "cpu" else [mean]
    return timings


class Gate(NamedTuple):
    """How a quicker way agrees with the plain model; nothing is timed that does not.

    levels      largest difference of an 8-bit value
    psnr        of the pictures, in dB
    keypoints   largest distance, in pixels
    contrast    standard deviation of the plain model's pictures, of [0, 1]
    """

    levels: int
    psnr: float
    keypoints: float
    contrast: float

    def check(self, name: str, precision: str) -> Gate:
        """The gate itself: FommError where the pictures or keypoints differ by more than the protocol allows."""
        if not self.contrast > 0.05:
            raise FommError(f"{name}: pictures of contrast {self.contrast:.3f} hide errors.", "Use trained weights.")
        if not self.keypoints <= 0.01:
            raise FommError(f"{name}: keypoints differ by {self.keypoints:.3f} px from the plain model's.")
        if precision == "fp32" and self.levels > 1:
            raise FommError(f"{name}: an 8-bit value differs by {self.levels} from the plain model's.")
        if precision != "fp32" and not self.psnr >= 50:
            raise FommError(f"{name}: PSNR {self.psnr:.1f} dB against the plain model, less than 50.")
        return self


def gate(
    truth: NDArray[np.float32], made: NDArray[np.float32], kp_truth: Any, kp_made: Any, size: tuple[int, int]
) -> Gate:
    """Compare pictures (B, 3, H, W) in [0, 1] and keypoints (B, K, 2) in [-1, 1]."""
    levels = np.abs(np.rint(255 * np.clip(truth, 0, 1)) - np.rint(255 * np.clip(made, 0, 1))).max()
    square = float(np.mean((truth.astype(np.float64) - made) ** 2))
    pixels = np.abs(np.asarray(kp_truth) - np.asarray(kp_made)).max() * (max(size) - 1) / 2
    return Gate(int(levels), min(150.0, psnr(square)), float(pixels), float(truth.std()))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

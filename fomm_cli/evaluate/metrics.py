"""What is measured: one entry a metric, and the functions that compare a picture with the true one.

A new metric is one entry of METRICS; the report, its page, the tables, `--metrics` and its help read them. Help texts
are why nothing here imports torch at module level. Sums are made in double precision, so that their order does not
show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fomm_cli.errors import FommError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fomm_cli.engine.base import Frames
    from fomm_cli.evaluate.records import Tally

PictureMetric = Callable[["Tensor", "Tensor"], "Tensor"]
"""(B, 3, H, W) and (B, 3, H, W) in [0, 1] to (B,)."""


def exact(values: Tensor) -> Tensor:
    """In double precision, on the CPU where the device has none."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def absolute_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of each frame: the mean absolute difference over pixels and channels.

    prediction, truth  (B, 3, H, W) in [0, 1]
    returns            (B,), double
    """
    return exact((prediction - truth).abs()).mean(dim=(1, 2, 3))


def squared_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference of each frame, (B,), double."""
    return exact((prediction - truth).square()).mean(dim=(1, 2, 3))


SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each frame (Wang et al. 2004): Gaussian window of 11 px, sigma 1.5, K1 0.01, K2 0.03.

    Each channel by itself, then the mean over channels and over a window around every pixel, the picture reflected at
    its borders, as torchmetrics does.

    prediction, truth  (B, 3, H, W) in [0, 1], at least 11 px each way
    returns            (B,), double
    """
    import torch
    import torch.nn.functional as F

    batch, _, height, width = prediction.shape
    offset = torch.arange(SSIM_WINDOW, dtype=prediction.dtype, device=prediction.device) - SSIM_WINDOW // 2
    window = torch.exp(-(offset / SSIM_SIGMA).square() / 2)
    window = window / window.sum()
    x, y = prediction.reshape(-1, 1, height, width), truth.reshape(-1, 1, height, width)
    reach = SSIM_WINDOW // 2
    x, y = (F.pad(picture, (reach, reach, reach, reach), mode="reflect") for picture in (x, y))
    fields = torch.cat((x, y, x * x, y * y, x * y))
    # The Gaussian is a product of a row and a column: 22 products a pixel instead of 121.
    fields = F.conv2d(F.conv2d(fields, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))
    mean_x, mean_y, square_x, square_y, product = fields.chunk(5)
    low, high = 0.01**2, 0.03**2
    variance_x = (square_x - mean_x.square()).clamp(min=0)
    variance_y = (square_y - mean_y.square()).clamp(min=0)
    covariance = product - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + low) * (2 * covariance + high)
    denominator = (mean_x.square() + mean_y.square() + low) * (variance_x + variance_y + high)
    return exact(numerator / denominator).reshape(batch, -1).mean(dim=1)


def spread(points: Tensor) -> Tensor:
    """Mean distance between two different keypoints of each frame.

    points   (B, K, 2) in [-1, 1], K at least 2
    returns  (B,), double
    """
    import torch

    count = points.shape[1]
    distance = torch.cdist(exact(points), exact(points))
    return distance.sum(dim=(1, 2)) / (count * (count - 1))


def psnr(mean_squared_error: float) -> float:
    from fomm_cli.model.pixels import psnr as of_pictures  # by way of numpy, which a help text does without

    return of_pictures(mean_squared_error)


Kind = Literal["reconstruction", "toon", "pairs"]
"""What can be asked: clips rebuilt, people of the procedural set animated, real clips animated."""

WITH_TRUTH: tuple[Kind, ...] = ("reconstruction", "toon")


@dataclass(frozen=True)
class Metric:
    """One number of the report, and all that the house knows of it.

    name      in `--metrics`, in records and in results.json
    title     for people; unit beside it, where it has one
    higher    whether more is better
    digits    behind the point, in tables; results.json has all of them
    kinds     of evaluation that can measure it; default: those that do so unasked
    source    pictures: `function` compares them. lpips: its network does. points, embedding: detectors look at both.
              features: the Inception network's, of all frames together. sequence: `Flicker` looks at frames in turn
    smallest  shortest side of a frame it can be measured on
    quantity  what is summed up over frames, its own name unless given
    of_clip   from a clip's mean quantity to its value: the report then averages over clips, else over frames
    beside    the metric it comes with: it cannot be asked for by itself
    """

    name: str
    title: str
    unit: str = ""
    higher: bool = False
    digits: int = 4
    kinds: tuple[Kind, ...] = WITH_TRUTH
    default: tuple[Kind, ...] = ()
    source: Literal["pictures", "lpips", "points", "embedding", "features", "sequence"] = "pictures"
    function: PictureMetric | None = None
    smallest: int = 1
    quantity: str = ""
    of_clip: Callable[[float], float] | None = None
    beside: str = ""

    @property
    def summed(self) -> str:
        return self.quantity or self.name

    @property
    def heading(self) -> str:
        """Title, which way is better, unit."""
        return f"{self.title} {'↑' if self.higher else '↓'}" + (f" ({self.unit})" if self.unit else "")

    def text(self, value: float | None) -> str:
        """As tables show it."""
        return "-" if value is None else f"{value:.{self.digits}f}"

    def better(self, one: float, other: float) -> bool:
        return one > other if self.higher else one < other

    def value(self, tally: Tally) -> float | None:
        """Of one method on one clip; None where nothing was measured, something was not finite, or nothing differs."""
        mean = tally.mean(self.summed)
        if mean is None or self.of_clip is None:
            return mean
        made = self.of_clip(mean)
        return made if math.isfinite(made) else None


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("l1", "L1", "of [0, 1]", default=WITH_TRUTH, function=absolute_error),
        Metric(
            "psnr",
            "PSNR",
            "dB",
            higher=True,
            digits=2,
            default=WITH_TRUTH,
            function=squared_error,
            quantity="squared",
            of_clip=psnr,
        ),
        Metric("ssim", "SSIM", higher=True, default=WITH_TRUTH, function=ssim, smallest=SSIM_WINDOW),
        Metric("lpips", "LPIPS", source="lpips", smallest=32),  # AlexNet pools smaller frames away
        Metric("akd", "AKD", "px at 256", digits=3, kinds=("reconstruction",), source="points"),
        Metric("pose", "AKD to driving", "px at 256", digits=3, kinds=("pairs",), default=("pairs",), source="points"),
        Metric("mkr", "MKR", kinds=("reconstruction", "pairs"), default=("pairs",), source="points"),
        Metric("aed", "AED", "Euclidean", kinds=("reconstruction",), source="embedding"),
        Metric("aed_squared", "AED²", "squared", kinds=("reconstruction",), source="embedding", beside="aed"),
        Metric("identity", "AED to source", "Euclidean", kinds=("pairs",), default=("pairs",), source="embedding"),
        Metric("flicker", "Flicker", "levels", kinds=("pairs",), default=("pairs",), source="sequence", digits=3),
        Metric("fid", "FID", kinds=("reconstruction", "pairs"), source="features"),
    )
}


def names(kind: Kind) -> tuple[str, ...]:
    """The metrics that can be asked for in this kind of evaluation, in the order of the report."""
    return tuple(metric.name for metric in METRICS.values() if kind in metric.kinds and not metric.beside)


def defaults(kind: Kind) -> tuple[str, ...]:
    """Those that are measured unasked."""
    return tuple(metric.name for metric in METRICS.values() if kind in metric.default)


def shown(asked: Sequence[str]) -> list[Metric]:
    """The rows of the report: what was asked for, and what comes with it."""
    return [metric for metric in METRICS.values() if metric.name in asked or metric.beside in asked]


def chosen(text: str, kind: Kind = "reconstruction") -> tuple[str, ...]:
    """The metrics of a comma-separated list, each once, in the order of the report."""
    known = names(kind)
    asked = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise FommError(f"There is no metric {name!r}.", nearest(name, list(known)))
    if not asked:
        raise FommError("No metric is asked for.", f"Known: {', '.join(known)}.")
    return tuple(name for name in known if name in asked)


class Measures:
    """The metrics that compare pictures, of one evaluation.

    lpips  the network that compares patches, where `lpips` is among the names
    """

    def __init__(self, names: Sequence[str], lpips: PictureMetric | None = None) -> None:
        self.functions: dict[Metric, PictureMetric] = {}
        for metric in (METRICS[name] for name in names):
            function = lpips if metric.source == "lpips" else metric.function
            if metric.source == "lpips" and function is None:
                raise ValueError("LPIPS needs its network")
            if function is not None:
                self.functions[metric] = function

    def add(self, tally: Tally, prediction: Tensor, truth: Tensor) -> None:
        """Measure a batch of frames."""
        import torch

        height, width = truth.shape[-2:]
        for metric, function in self.functions.items():
            if min(height, width) < metric.smallest:
                raise FommError(
                    f"{metric.title} needs frames of {metric.smallest} px or more; these are {width}x{height}.",
                    f"Leave {metric.name} out of --metrics.",
                )
            with torch.inference_mode():
                tally.add(metric.summed, function(prediction, truth).tolist())


QUIET = 2.0
"""A pixel of the driving clip rests where its second difference in time is below this, in levels."""


class Flicker:
    """Unrest of one result where its driving clip rests: |I(t-1) - 2 I(t) + I(t+1)|, the mean over resting pixels."""

    def __init__(self) -> None:
        self._result: Frames | None = None
        self._driving: Frames | None = None

    def add(self, tally: Tally, result: Frames, driving: Frames) -> None:
        """The next frames of both, uint8 (B, H, W, 3); a value a frame that has neighbours and any resting pixel."""
        import numpy as np

        self._result = result if self._result is None else np.concatenate([self._result[-2:], result])
        self._driving = driving if self._driving is None else np.concatenate([self._driving[-2:], driving])
        unrest, own = (_second_difference(frames) for frames in (self._result, self._driving))
        values = [now[rests].mean() for now, rests in zip(unrest, own < QUIET, strict=True) if rests.any()]
        tally.add("flicker", map(float, values))


def _second_difference(frames: Frames) -> NDArray[np.float32]:
    """(T, H, W, 3) to (T - 2, H, W): absolute, the largest of a pixel's channels; nothing of fewer than 3 frames."""
    import numpy as np

    levels = frames.astype(np.float32)
    return np.abs(levels[:-2] - 2 * levels[1:-1] + levels[2:]).max(axis=-1)

"""The metrics that compare pictures, chosen by name: one tally entry for each, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fomm_cli.errors import FommError, nearest
from fomm_cli.evaluate.metrics import SSIM_WINDOW, absolute_error, squared_error, ssim
from fomm_cli.evaluate.records import Tally

PICTURE_METRICS = ("l1", "psnr", "ssim", "lpips")
DETECTOR_METRICS = ("akd", "mkr", "aed")
SET_METRICS = ("fid",)
DEFAULT = ("l1", "psnr", "ssim")

PictureMetric = Callable[[Tensor, Tensor], Tensor]
"""(B, 3, H, W) and (B, 3, H, W) in [0, 1] to (B,)."""


def chosen(text: str, known: Sequence[str] = (*PICTURE_METRICS, *DETECTOR_METRICS, *SET_METRICS)) -> tuple[str, ...]:
    """The metrics of a comma-separated list, each once, in the order of the report.

    known  those that the evaluation has, in that order
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise FommError(f"There is no metric {name!r}.", nearest(name, list(known)))
    if not names:
        raise FommError("No metric is asked for.", f"Known: {', '.join(known)}.")
    return tuple(name for name in known if name in names)


class Measures:
    """The picture metrics of one evaluation.

    lpips  the network that compares patches, where `lpips` is among the names
    """

    def __init__(self, names: tuple[str, ...], lpips: PictureMetric | None = None) -> None:
        self.functions: dict[str, PictureMetric] = {}
        if "l1" in names:
            self.functions["l1"] = absolute_error
        if "psnr" in names:
            self.functions["squared"] = squared_error
        if "ssim" in names:
            self.functions["ssim"] = ssim
        if "lpips" in names:
            if lpips is None:
                raise ValueError("LPIPS needs its network")
            self.functions["lpips"] = lpips

    @torch.inference_mode()
    def add(self, tally: Tally, prediction: Tensor, truth: Tensor) -> None:
        """Measure a batch of frames."""
        if "ssim" in self.functions and min(truth.shape[-2:]) < SSIM_WINDOW:
            height, width = truth.shape[-2:]
            raise FommError(
                f"SSIM compares windows of {SSIM_WINDOW} px; the frames are {width}x{height}.",
                "Leave it out: --metrics l1,psnr.",
            )
        for name, function in self.functions.items():
            tally.add(name, function(prediction, truth).tolist())

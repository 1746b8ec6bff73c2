"""The numbers of the First Order Motion Model's paper (Siarohin et al., NeurIPS 2019), video reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fomm_cli.errors import FommError, nearest


class Row(NamedTuple):
    """One method on one set: L1 over frames, and the detectors' numbers where the paper gives them."""

    method: str
    l1: float
    akd: float | None = None
    mkr: float | None = None
    aed: float | None = None

    def values(self) -> dict[str, float]:
        """Metric -> number, of those that are given."""
        pairs = (("l1", self.l1), ("akd", self.akd), ("mkr", self.mkr), ("aed", self.aed))
        return {metric: value for metric, value in pairs if value is not None}


CITATION = "Siarohin et al., First Order Motion Model for Image Animation, NeurIPS 2019, arXiv 2003.00196"

PAPER: dict[str, tuple[Row, ...]] = {
    "taichi": (
        Row("FOMM, paper", 0.063, 6.862, 0.036, 0.179),
        Row("Monkey-Net, paper", 0.077, 10.798, 0.059, 0.228),
        Row("X2Face, paper", 0.080, 17.654, 0.109, 0.272),
    ),
    "vox": (
        Row("FOMM, paper", 0.043, 1.294, None, 0.140),
        Row("Monkey-Net, paper", 0.049, 1.878, None, 0.199),
        Row("X2Face, paper", 0.078, 7.687, None, 0.405),
    ),
    "nemo": (
        Row("FOMM, paper", 0.016, 1.119, None, 0.048),
        Row("Monkey-Net, paper", 0.018, 1.285, None, 0.077),
        Row("X2Face, paper", 0.031, 3.539, None, 0.221),
    ),
    "bair": (Row("FOMM, paper", 0.027), Row("Monkey-Net, paper", 0.034), Row("X2Face, paper", 0.065)),
}


def known_set(name: str) -> str | None:
    """Which of the paper's sets a folder's name speaks of, None if of none."""
    lowered = name.lower()
    return next((known for known in PAPER if lowered == known or lowered.startswith((f"{known}-", f"{known}_"))), None)


def which(asked: str, folder: Path) -> str | None:
    """The set whose rows to show: as asked for, or for `auto` by the folder's name; None shows none."""
    if asked == "none":
        return None
    if asked == "auto":
        return known_set(folder.resolve().name)
    if asked not in PAPER:
        raise FommError(f"The paper has no rows for {asked!r}.", nearest(asked, [*PAPER, "auto", "none"]))
    return asked

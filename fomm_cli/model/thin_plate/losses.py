"""The loss terms of this family alone, named as their weights (section 3.4 of arXiv 2203.14367)."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.losses import mean_difference
from fomm_cli.model.thin_plate.generator import warped
from fomm_cli.model.types import DenseMotion


def warp_loss(source: tuple[Tensor, ...], driving: tuple[Tensor, ...], motion: DenseMotion) -> Tensor:
    """Mean |warped source features - driving features| where the source shows them, summed over their sizes.

    The gradient reaches the flow alone: neither features nor occlusion maps may make the task easier.

    source, driving  the generator's features, coarse to fine
    """
    occlusions = tuple(maps.detach() for maps in motion.occlusions)
    carried = warped(tuple(maps.detach() for maps in source), motion._replace(occlusions=occlusions))
    terms = [
        mean_difference(ours, true.detach() * seen)
        for ours, true, seen in zip(carried, driving, occlusions, strict=True)
    ]
    return torch.stack(terms).sum()


def bg(forth: Tensor, back: Tensor) -> Tensor:
    """Mean |I - A B| over all entries: the background's map there and its map back must cancel.

    forth, back  (B, 3, 3): driving to source, source to driving
    """
    return (torch.eye(3, dtype=forth.dtype, device=forth.device) - forth @ back).abs().mean()

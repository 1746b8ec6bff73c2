"""The motion of the background from two frames: a network for training and reconstruction alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import Encoder
from fomm_cli.model.regions.config import RegionsConfig

# What a type of background estimates: the elements of the 3x3 matrix, row major, as (row, column).
_ELEMENTS = {
    "shift": [(0, 2), (1, 2)],
    "affine": [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)],
    "perspective": [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)],
}


class BackgroundPredictor(nn.Module):
    """Source and driving, (B, 3, H, W) each at full size, to (B, 3, 3): driving points to source points.

    It starts at the identity. Animation has no use for it: there the two frames are of different places.
    """

    def __init__(self, config: RegionsConfig) -> None:
        super().__init__()
        background = config.background
        self.elements = _ELEMENTS[background.type]
        self.encoder = Encoder(
            background.block_expansion, 2 * config.num_channels, background.num_blocks, background.max_features
        )
        deepest = min(background.max_features, background.block_expansion * 2**background.num_blocks)
        self.fc = nn.Linear(deepest, len(self.elements))
        nn.init.zeros_(self.fc.weight)
        with torch.no_grad():
            self.fc.bias.copy_(torch.tensor([float(row == column) for row, column in self.elements]))

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        deepest = self.encoder(torch.cat((source, driving), dim=1))[-1]
        with torch.autocast(deepest.device.type, enabled=False):
            numbers = self.fc(deepest.to(self.fc.weight.dtype).mean(dim=(2, 3)))
            matrix = torch.eye(3, dtype=numbers.dtype, device=numbers.device).repeat(len(numbers), 1, 1)
            rows, columns = zip(*self.elements, strict=True)
            matrix[:, list(rows), list(columns)] = numbers
            return matrix

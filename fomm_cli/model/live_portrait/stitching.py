"""Three small networks on keypoints: S of arXiv 2407.03168, section 3.3."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Offsets(nn.Module):
    """Linear layers with ReLU between them: (B, inputs) to (B, outputs)."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, out in pairwise((inputs, *hidden, outputs)):
            layers += [nn.Linear(width, out), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def output(self, *inputs: Tensor) -> Tensor:
        """Of the inputs, each (B or 1, ...), side by side; the last is of batch B."""
        batch = inputs[-1].shape[0]
        return self.mlp(torch.cat([each.flatten(1).expand(batch, -1) for each in inputs], dim=1))


class Stitching(Offsets):
    """Driving keypoints moved so that shoulders and hair at the border stay where the source has them."""

    def __init__(self, num_kp: int, hidden: tuple[int, ...]) -> None:
        super().__init__(2 * 3 * num_kp, hidden, 3 * num_kp + 2)

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Keypoints (B or 1, K, 3) and (B, K, 3) to (B, K, 3): an offset each, and a shift of x and y for all."""
        moved = self.output(source, driving)
        points, shift = moved[:, :-2].unflatten(1, driving.shape[1:]), moved[:, -2:]
        return driving + points + torch.cat((shift, torch.zeros_like(shift[:, :1])), dim=1).unsqueeze(1)


class Retargeting(Offsets):
    """How far keypoints move so that eyes or lips open as wide as told."""

    def __init__(self, num_kp: int, ratios: int, hidden: tuple[int, ...]) -> None:
        super().__init__(3 * num_kp + ratios, hidden, 3 * num_kp)

    def forward(self, source: Tensor, ratios: Tensor) -> Tensor:
        """Keypoints (B or 1, K, 3) and ratios (B, the source's and then the wanted one) to offsets (B, K, 3)."""
        return self.output(source, ratios).unflatten(1, source.shape[1:])

"""Animation via disentanglement: a small network that puts the identity of one pose into the shape of another
(arXiv 2104.11280, section 4.4), on poses flattened to plain numbers. What the numbers are is the family's business.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class DisentanglementNetwork(nn.Module):
    """(identity, pose), each (B, N), to (B, N): the numbers of the pose, had the identity taken it.

    Batch norm is over the batch: in train mode a batch of one has no statistics. The names are the published ones.
    """

    def __init__(self, numbers: int, id_bottle_size: int, pose_bottle_size: int) -> None:
        super().__init__()
        self.id_encoder = _perceptron(numbers, 256, 512, 1024, id_bottle_size)
        self.pose_encoder = _perceptron(numbers, 256, 512, 1024, pose_bottle_size)
        self.decoder = _perceptron(pose_bottle_size + id_bottle_size, 1024, 512, 256, numbers)

    def forward(self, identity: Tensor, pose: Tensor) -> Tensor:
        with torch.autocast(pose.device.type, enabled=False):  # points are finer than bf16's 8 bits
            return self.decoder(torch.cat((self.pose_encoder(pose), self.id_encoder(identity)), dim=1))


def _perceptron(*widths: int) -> nn.Sequential:
    """Linear layers of these widths, batch norm and ReLU after all but the last."""
    layers: list[nn.Module] = []
    for before, width in pairwise(widths[:-1]):
        layers += [nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

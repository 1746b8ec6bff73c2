"""The detector's Jacobians without their maps: the mean of a convolution is the convolution of the mean.

A keypoint's Jacobian is the mean, under the keypoint's heat map, of four channels that a 7x7 convolution makes for it
alone. Averaging what the convolution looks at comes to the same, and a keypoint then costs one correlation of its heat
map with the features instead of four maps: a quarter of the products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.engine import fold


class MeanHead:
    """The means of K groups of a convolution's output channels under K heat maps that each sum to 1, in float32.

    conv  out channels: K groups side by side; square kernel, stride 1
    """

    def __init__(self, conv: nn.Conv2d, groups: int) -> None:
        weight, bias = fold.plain(conv)
        self.taps, self.padding = weight.shape[2], int(conv.padding[0])
        weight = weight.unflatten(0, (groups, -1)).permute(0, 3, 4, 2, 1)  # (K, rows, columns, C, outputs)
        self.weight, self.bias = weight.flatten(1, 3).float(), bias.view(groups, 1, -1).float()

    def __call__(self, x: Tensor, heatmap: Tensor) -> Tensor:
        """x (B, C, H, W), channels_last, and heatmap (B, K, h, w) to (B, K, outputs)."""
        batch, num, height, width = heatmap.shape
        pad = self.padding
        x = F.pad(x.permute(0, 2, 3, 1), (0, 0, pad, pad, pad, pad))
        # shifted along its rows a heat map meets each kernel column; kernel rows are where in x a product begins
        shifted = heatmap.new_zeros((batch, self.taps, num, height, x.shape[2]))
        for column in range(self.taps):
            shifted[:, column, ..., column : column + width] = heatmap
        shifted = shifted.view(batch, self.taps * num, -1)
        means = [torch.bmm(shifted, x[:, row : row + height].flatten(1, 2)) for row in range(self.taps)]
        mean = torch.stack(means).unflatten(2, (self.taps, num))  # (rows, B, columns, K, C)
        return torch.baddbmm(self.bias, mean.permute(3, 1, 0, 2, 4).flatten(2), self.weight).transpose(0, 1)

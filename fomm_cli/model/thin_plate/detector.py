"""The points the splines hang on, and the motion of what lies behind them: a ResNet-18 each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.thin_plate.config import ThinPlateConfig
from fomm_cli.model.thin_plate.pose import SplinePoints
from fomm_cli.model.thin_plate.resnet import ResNet18


class KeypointDetector(nn.Module):
    """Image (B, 3, H, W) to the points of all splines: spline k owns points 5k to 5k + 4."""

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        self.points = config.points
        self.fg_encoder = ResNet18(config.num_channels, 2 * config.points, config.resnet_width)

    def forward(self, image: Tensor) -> SplinePoints:
        return SplinePoints((2 * self.fg_encoder(image).sigmoid() - 1).reshape(-1, self.points, 2))


class BackgroundPredictor(nn.Module):
    """Source and driving (B, 3, H, W) to the affine map A (B, 3, 3): z of the driving frame lies at A z in the source.

    Whatever moves with the camera is explained by it, so that the splines need not. It starts as the identity.
    """

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        self.bg_encoder = ResNet18(2 * config.num_channels, 6, config.resnet_width)
        # Published: this layer was replaced, and so begins as torch has it and not as torchvision does.
        self.bg_encoder.conv1.reset_parameters()
        nn.init.zeros_(self.bg_encoder.fc.weight)
        with torch.no_grad():
            self.bg_encoder.fc.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        rows = self.bg_encoder(torch.cat((source, driving), dim=1)).unflatten(1, (2, 3))
        last = torch.tensor([0.0, 0.0, 1.0], dtype=rows.dtype, device=rows.device).expand(rows.shape[0], 1, 3)
        return torch.cat((rows, last), dim=1)

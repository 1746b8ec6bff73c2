"""Keypoints by heat maps, and the local affine frame around each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, merged
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import coordinate_grid, heatmap_mean


class KeypointDetector(nn.Module):
    """Image (B, 3, H, W) to keypoints, by heat maps: their means are the points, likewise of the Jacobian maps."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        detector = config.detector
        self.num_kp = config.num_kp
        self.temperature = detector.temperature
        self.down = AntiAliasDownsample(config.num_channels, detector.scale_factor)
        self.predictor = Hourglass(
            detector.block_expansion, config.num_channels, detector.num_blocks, detector.max_features
        )
        self.kp = nn.Conv2d(self.predictor.out_channels, config.num_kp, 7, padding=detector.pad)
        self.jacobian: nn.Conv2d | None = None
        if config.estimate_jacobian:
            maps = 1 if detector.single_jacobian_map else config.num_kp
            self.jacobian = nn.Conv2d(self.predictor.out_channels, 4 * maps, 7, padding=detector.pad)
            nn.init.zeros_(self.jacobian.weight)
            assert self.jacobian.bias is not None
            with torch.no_grad():
                self.jacobian.bias.view(maps, 4).copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]))

    def forward(self, image: Tensor) -> Keypoints:
        features = self.predictor(self.down(image))
        # Temperature 0.1 turns an error of the logits into pixels: the heads run at full precision, whatever the rest.
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.kp.weight.dtype)
            # Both heads as one convolution: a wide one costs little more than a narrow one.
            heads = [self.kp] if self.jacobian is None else [self.kp, self.jacobian]
            maps = merged(heads, features)
            logits = maps[:, : self.num_kp]  # (B, K, h, w)
            heatmap = (logits / self.temperature).flatten(2).softmax(dim=2).unflatten(2, logits.shape[2:])
            value = heatmap_mean(heatmap, coordinate_grid(logits.shape[2], logits.shape[3], like=heatmap))
            if self.jacobian is None:
                return Keypoints(value, None)
            jacobians = maps[:, self.num_kp :].unflatten(1, (-1, 4))  # (B, K or 1, 4, h, w)
            return Keypoints(value, heatmap_mean(heatmap, jacobians).unflatten(2, (2, 2)))

"""Image to regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, merged
from fomm_cli.model.geometry import coordinate_grid, heatmap_mean
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.covariance import covariance, principal_axes, squared
from fomm_cli.model.regions.pose import Regions


class RegionDetector(nn.Module):
    """Image (B, 3, H, W) to regions, by heat maps: the means are the places, the covariances give axes and extent."""

    def __init__(self, config: RegionsConfig) -> None:
        super().__init__()
        detector = config.detector
        self.num_regions = config.num_regions
        self.axes = config.axes
        self.extent = config.dense_motion.covariance_evidence
        self.temperature = detector.temperature
        self.down = AntiAliasDownsample(config.num_channels, detector.scale_factor)
        self.predictor = Hourglass(
            detector.block_expansion, config.num_channels, detector.num_blocks, detector.max_features
        )
        self.regions = nn.Conv2d(self.predictor.out_channels, config.num_regions, 7, padding=detector.pad)
        self.jacobian: nn.Conv2d | None = None
        if config.axes == "regression":
            self.jacobian = nn.Conv2d(self.predictor.out_channels, 4, 7, padding=detector.pad)
            nn.init.zeros_(self.jacobian.weight)
            assert self.jacobian.bias is not None
            with torch.no_grad():
                self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]))

    def forward(self, image: Tensor) -> Regions:
        features = self.predictor(self.down(image))
        # A second moment needs more than bf16's 8 bits, and the temperature turns an error of the logits into pixels.
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.regions.weight.dtype)
            heads = [self.regions] if self.jacobian is None else [self.regions, self.jacobian]
            maps = merged(heads, features)
            logits = maps[:, : self.num_regions]  # (B, K, h, w)
            heatmap = (logits / self.temperature).flatten(2).softmax(dim=2).unflatten(2, logits.shape[2:])
            value = heatmap_mean(heatmap, coordinate_grid(logits.shape[2], logits.shape[3], like=heatmap))
            if self.axes == "none":
                return Regions(value)
            if self.axes == "pca":
                extent = covariance(heatmap, value)
                return Regions(value, principal_axes(extent), extent if self.extent else None)
            frames = maps[:, self.num_regions :].unsqueeze(1)  # (B, 1, 4, h, w): one map for all regions
            jacobian = heatmap_mean(heatmap, frames).unflatten(2, (2, 2))
            return Regions(value, jacobian, squared(jacobian) if self.extent else None)

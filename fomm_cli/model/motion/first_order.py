"""First-order motion: around each keypoint the picture moves by a local affine map (eqs. 4-6 of arXiv 2003.00196).

Without Jacobians it is the zero-order model, whose candidates are plain shifts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomm_cli.config.schema import ModelConfig
from fomm_cli.model.blocks import AntiAliasDownsample, Hourglass, merged
from fomm_cli.model.geometry import (
    apply_2x2,
    coordinate_grid,
    gaussians,
    heatmap_mean,
    inverse_2x2,
    product_2x2,
)
from fomm_cli.model.types import Keypoints


class KeypointDetector(nn.Module):
    """Image (B, 3, H, W) to keypoints, by heat maps: their means are the points, likewise of the Jacobian maps."""

    def __init__(self, config: ModelConfig) -> None:
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
                self.jacobian.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(maps))

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


def candidates(source: Keypoints, driving: Keypoints, grid: Tensor) -> Tensor:
    """T(z) = p_s + J_s J_d^-1 (z - p_d) for each keypoint (eq. 4), the identity for the background.

    grid     (h, w, 2)
    returns  (B, K+1, h, w, 2): where each candidate looks in the source; candidate 0 is the background
    """
    batch = max(source.value.shape[0], driving.value.shape[0])
    num_kp = driving.value.shape[1]
    points = grid.expand(batch, num_kp, -1, -1, -1)
    if source.jacobian is None or driving.jacobian is None:
        shift = source.value - driving.value
        moved = points + shift[:, :, None, None]
    else:
        matrix = product_2x2(source.jacobian, inverse_2x2(driving.jacobian))  # (B, K, 2, 2)
        offset = points - driving.value[:, :, None, None]
        moved = apply_2x2(matrix[:, :, None, None], offset) + source.value[:, :, None, None]
    return torch.cat((grid.expand(batch, 1, -1, -1, -1), moved), dim=1)


def evidence(source: Keypoints, driving: Keypoints, height: int, width: int, variance: float) -> Tensor:
    """Where each keypoint lies in the driving frame against where it lay in the source (eq. 6).

    returns  (B, K+1, height, width): the difference of two Gaussians, 0 for the background
    """
    difference = gaussians(driving.value, height, width, variance) - gaussians(source.value, height, width, variance)
    return torch.cat((difference.new_zeros(difference.shape[0], 1, height, width), difference), dim=1)

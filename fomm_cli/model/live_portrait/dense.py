"""From keypoints to one flow of the volume and an occlusion map: the dense motion of W in arXiv 2407.03168."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.model import blocks
from fomm_cli.model.live_portrait import volume
from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.types import DenseMotion


class Decoder(blocks.Decoder):
    """The hourglass's way up, then one more block over all of it."""

    def __init__(self, block_expansion: int, channels: int, num_blocks: int, max_features: int) -> None:
        super().__init__(block_expansion, channels, num_blocks, max_features, nn.BatchNorm3d, volume.UpBlock)
        self.conv = nn.Conv3d(self.out_channels, self.out_channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.out_channels)

    def forward(self, outputs: list[Tensor]) -> list[Tensor]:
        *levels, last = super().forward(outputs)
        return [*levels, F.relu(self.norm(self.conv(last)))]


class Hourglass(blocks.Hourglass):
    """Of volumes: (B, C, D, H, W) to (B, block_expansion + C, D, H, W)."""

    def __init__(self, block_expansion: int, channels: int, num_blocks: int, max_features: int) -> None:
        nn.Module.__init__(self)
        sizes = (block_expansion, channels, num_blocks, max_features)
        self.encoder = blocks.Encoder(*sizes, nn.BatchNorm3d, volume.DownBlock)
        self.decoder = Decoder(*sizes)
        self.out_channels = self.decoder.out_channels


class DenseMotionNetwork(nn.Module):
    """Weighs the shifts of all keypoints against each other, voxel by voxel."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        dense, part = config.dense_motion, config.appearance
        self.kp_variance = dense.kp_variance
        self.compress = nn.Conv3d(part.channels, dense.compress, 1)
        self.norm = nn.BatchNorm3d(dense.compress)
        channels = (config.num_kp + 1) * (1 + dense.compress)
        self.hourglass = Hourglass(dense.block_expansion, channels, dense.num_blocks, dense.max_features)
        self.mask = nn.Conv3d(self.hourglass.out_channels, config.num_kp + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.out_channels * part.depth, 1, 7, padding=3)

    def encode(self, features: Tensor) -> Tensor:
        """What the hourglass sees of the source's volume (B, C, D, h, w): a few channels of it."""
        return F.relu(self.norm(self.compress(features)))

    def forward(self, compressed: Tensor, source: Tensor, driving: Tensor) -> DenseMotion:
        """The dense motion from keypoints (B or 1, K, 3) and the compressed volume (B or 1, c, D, h, w)."""
        shifts, candidates = self.candidates(compressed, source, driving)
        features = self.hourglass(candidates.flatten(1, 2))
        return self.motion(shifts, candidates, self.mask(features), self.occlusion(features.flatten(1, 2)))

    def candidates(self, compressed: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """Each candidate's shift (B, K+1, 3), and what speaks for it (B, K+1, 1 + c, D, h, w).

        That is the keypoint's Gaussian where it is less where it was, and the volume so shifted, interleaved.
        """
        size = compressed.shape[2:]
        with torch.autocast(compressed.device.type, enabled=False):
            shifts = F.pad(source - driving, (0, 0, 1, 0))  # candidate 0, the background, stands still
            warped = volume.shifted(compressed.to(shifts.dtype), shifts)  # (B, K+1, c, D, h, w)
            evidence = volume.gaussians(driving, size, self.kp_variance)
            evidence = evidence - volume.gaussians(source, size, self.kp_variance)
            evidence = F.pad(evidence, (0, 0, 0, 0, 0, 0, 1, 0))
            return shifts, torch.cat((evidence.unsqueeze(2), warped), dim=2)

    @staticmethod
    def motion(shifts: Tensor, candidates: Tensor, mask: Tensor, occlusion: Tensor) -> DenseMotion:
        """The shares of the candidates from the logits `mask` (B, K+1, D, h, w), and `occlusion` (B, 1, h, w)."""
        with torch.autocast(shifts.device.type, enabled=False):
            mask = mask.to(shifts.dtype).softmax(dim=1)
            # Shares sum to 1, so the mean of the candidates is the identity plus the mean of their shifts.
            moved = (mask.flatten(2).transpose(1, 2) @ shifts).unflatten(1, tuple(mask.shape[2:]))
            flow = volume.coordinate_grid(mask.shape[2:], shifts) + moved
            return DenseMotion(flow, (occlusion.to(shifts.dtype).sigmoid(),), mask, candidates[:, :, 1:])

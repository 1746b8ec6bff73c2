"""A picture to the pose of its head: M of arXiv 2407.03168, a ConvNeXt V2 (arXiv 2301.00808) with seven heads."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.model.live_portrait.config import LivePortraitConfig
from fomm_cli.model.live_portrait.pose import HeadPose

BINS = 66
"""An angle is the mean of this many bins of 3 degrees, weighed by a softmax; the first lies at -97.5 degrees."""

EPS = 1e-6
"""Of the layer norms."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalResponseNorm(nn.Module):
    """Each channel's energy against the mean of all (arXiv 2301.00808, section 4): (B, H, W, C) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        energy = x.square().sum(dim=(1, 2), keepdim=True).sqrt()
        return self.gamma * (x * (energy / (energy.mean(dim=3, keepdim=True) + 1e-6))) + self.beta + x


class Block(nn.Module):
    """A depthwise 7x7, then two linear layers of each pixel's channels, around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = GlobalResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        pixels = self.pwconv2(self.grn(F.gelu(self.pwconv1(pixels))))
        return x + pixels.permute(0, 3, 1, 2)


class PoseDetector(nn.Module):
    """Image (B, 3, H, W) to `HeadPose`; H, W multiples of 32."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        widths = config.detector.widths
        self.num_kp = config.num_kp
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(widths[0]))
        halvings = [
            nn.Sequential(ChannelNorm(narrow), nn.Conv2d(narrow, wide, 2, stride=2))
            for narrow, wide in pairwise(widths)
        ]
        self.downsample_layers = nn.ModuleList([stem, *halvings])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths, config.detector.depths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=EPS)
        self.fc_kp = nn.Linear(widths[-1], 3 * config.num_kp)
        self.fc_scale = nn.Linear(widths[-1], 1)
        self.fc_pitch = nn.Linear(widths[-1], BINS)
        self.fc_yaw = nn.Linear(widths[-1], BINS)
        self.fc_roll = nn.Linear(widths[-1], BINS)
        self.fc_t = nn.Linear(widths[-1], 3)
        self.fc_exp = nn.Linear(widths[-1], 3 * config.num_kp)

    def forward(self, image: Tensor) -> HeadPose:
        x = image
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        # Fractions of a degree and of a pixel are seen in the picture: the heads run at full precision.
        with torch.autocast(x.device.type, enabled=False):
            features = self.norm(x.to(self.norm.weight.dtype).mean(dim=(2, 3)))
            kp, exp = (head(features).unflatten(1, (self.num_kp, 3)) for head in (self.fc_kp, self.fc_exp))
            rotation = rotations(*(degrees(head(features)) for head in (self.fc_pitch, self.fc_yaw, self.fc_roll)))
            t, scale = self.fc_t(features), self.fc_scale(features)
            return HeadPose(keypoints(kp, rotation, exp, t, scale), kp, rotation, exp, t, scale)


def degrees(logits: Tensor) -> Tensor:
    """The angle a head of bins means: (B, 66) to (B,)."""
    bins = torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    return 3 * (logits.softmax(dim=1) * bins).sum(dim=1) - 97.5


def rotations(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """(Rz(roll) Ry(yaw) Rx(pitch))^T of angles (B,) in degrees; (B, 3, 3), to multiply row vectors from the right."""
    (sx, cx), (sy, cy), (sz, cz) = (
        (angle.sin(), angle.cos()) for angle in (degree * (math.pi / 180) for degree in (pitch, yaw, roll))
    )
    entries = (
        (cz * cy, sz * cy, -sy),
        (cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx),
        (cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in entries], dim=-2)


def keypoints(kp: Tensor, rotation: Tensor, exp: Tensor, t: Tensor, scale: Tensor) -> Tensor:
    """x = s (kp R + exp) + (t_x, t_y, 0): the canonical points turned, bent, scaled and moved; (B, K, 3)."""
    flat = torch.cat((t[:, :2], torch.zeros_like(t[:, 2:])), dim=1)
    return scale.unsqueeze(1) * (kp @ rotation + exp) + flat.unsqueeze(1)

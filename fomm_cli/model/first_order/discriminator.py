"""A PatchGAN over an image pyramid."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from fomm_cli.model.blocks import ImagePyramid
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.pose import Keypoints
from fomm_cli.model.geometry import gaussians


class Judgement(NamedTuple):
    """What one scale of the discriminator says.

    features  every block's output, after its pooling
    map       (B, 1, h, w): near 1 where the picture looks real
    """

    features: list[Tensor]
    map: Tensor


class DiscriminatorBlock(nn.Module):
    """4x4 convolution without padding, instance norm (not in the first), leaky ReLU, 2x2 mean (not in the last)."""

    def __init__(self, channels: int, out: int, norm: bool, pool: bool, sn: bool) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, out, 4)
        self.conv = spectral_norm(conv) if sn else conv
        self.norm = nn.InstanceNorm2d(out, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        x = F.leaky_relu(x, 0.2)
        return F.avg_pool2d(x, 2) if self.pool else x


class ScaleDiscriminator(nn.Module):
    """The discriminator of one pyramid scale."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.kp_variance = discriminator.kp_variance
        self.use_kp = discriminator.use_kp
        last = discriminator.num_blocks - 1
        channels = config.num_channels + (config.num_kp if discriminator.use_kp else 0)
        blocks = []
        for i in range(discriminator.num_blocks):
            out = min(discriminator.max_features, discriminator.block_expansion * 2 ** (i + 1))
            blocks.append(DiscriminatorBlock(channels, out, norm=i > 0, pool=i < last, sn=discriminator.sn))
            channels = out
        self.down_blocks = nn.ModuleList(blocks)
        head = nn.Conv2d(channels, 1, 1)
        self.conv = spectral_norm(head) if discriminator.sn else head

    def forward(self, image: Tensor, kp: Keypoints | None) -> Judgement:
        x = image
        if self.use_kp:
            if kp is None:
                raise ValueError("this discriminator looks at keypoints (use_kp), but none were given")
            maps = gaussians(kp.value.detach(), image.shape[2], image.shape[3], self.kp_variance)
            x = torch.cat((image, maps.to(image.dtype)), dim=1)
        features = []
        for block in self.down_blocks:
            x = block(x)
            features.append(x)
        return Judgement(features, self.conv(x))


class Discriminator(nn.Module):
    """One discriminator a scale; `pyramid` makes what it looks at.

    With spectral norm, each call in train mode makes one power iteration: the number and order of calls matter.
    """

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        self.pyramid = ImagePyramid(config.discriminator.scales, config.num_channels)
        # The published names: scale 1 is `discs.1`, scale 0.5 is `discs.0-5` (a module name has no dots).
        self.discs = nn.ModuleDict(
            {f"{scale:g}".replace(".", "-"): ScaleDiscriminator(config) for scale in config.discriminator.scales}
        )

    def forward(self, image: Tensor, kp: Keypoints | None = None) -> list[Judgement]:
        """One judgement a scale of image (B, 3, H, W); kp, (B, K, 2), only for `use_kp`."""
        return [disc(small, kp) for disc, small in zip(self.discs.values(), self.pyramid(image), strict=True)]

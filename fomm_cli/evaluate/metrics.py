"""What is measured of a picture against the true one. Sums are made in double precision, so that their order does not
show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def exact(values: Tensor) -> Tensor:
    """In double precision, on the CPU where the device has none."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def absolute_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of each frame: the mean absolute difference over pixels and channels.

    prediction, truth  (B, 3, H, W) in [0, 1]
    returns            (B,), double
    """
    return exact((prediction - truth).abs()).mean(dim=(1, 2, 3))


def squared_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference of each frame, (B,), double."""
    return exact((prediction - truth).square()).mean(dim=(1, 2, 3))


SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each frame (Wang et al. 2004): Gaussian window of 11 px, sigma 1.5, K1 0.01, K2 0.03.

    Each channel by itself, then the mean over channels and over a window around every pixel, the picture reflected at
    its borders, as torchmetrics does.

    prediction, truth  (B, 3, H, W) in [0, 1], at least 11 px each way
    returns            (B,), double
    """
    batch, _, height, width = prediction.shape
    place = torch.arange(SSIM_WINDOW, dtype=prediction.dtype, device=prediction.device) - SSIM_WINDOW // 2
    window = torch.exp(-(place / SSIM_SIGMA).square() / 2)
    window = window / window.sum()
    x, y = prediction.reshape(-1, 1, height, width), truth.reshape(-1, 1, height, width)
    reach = SSIM_WINDOW // 2
    x, y = (F.pad(picture, (reach, reach, reach, reach), mode="reflect") for picture in (x, y))
    fields = torch.cat((x, y, x * x, y * y, x * y))
    # The Gaussian is a product of a row and a column: 22 products a pixel instead of 121.
    fields = F.conv2d(F.conv2d(fields, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))
    mean_x, mean_y, square_x, square_y, product = fields.chunk(5)
    low, high = 0.01**2, 0.03**2
    variance_x = (square_x - mean_x.square()).clamp(min=0)
    variance_y = (square_y - mean_y.square()).clamp(min=0)
    covariance = product - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + low) * (2 * covariance + high)
    denominator = (mean_x.square() + mean_y.square() + low) * (variance_x + variance_y + high)
    return exact(numerator / denominator).reshape(batch, -1).mean(dim=1)


def spread(points: Tensor) -> Tensor:
    """Mean distance between two different keypoints of each frame.

    points   (B, K, 2) in [-1, 1], K at least 2
    returns  (B,), double
    """
    count = points.shape[1]
    distance = torch.cdist(exact(points), exact(points))
    return distance.sum(dim=(1, 2)) / (count * (count - 1))

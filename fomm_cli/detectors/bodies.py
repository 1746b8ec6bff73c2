"""The 17 joints of a body."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from PIL import Image

from fomm_cli.errors import FommError

CONFIDENT = 0.3
"""Joints below this score count as not found; the makers' demos use it too."""


class SquareNetwork(Protocol):
    """Called with a picture (1, side, side, 3) it gives (..., 17, 3): y, x and score, each in [0, 1]."""

    side: int
    digest: str

    def __call__(self, batch: np.ndarray) -> np.ndarray: ...


class BodyJoints:
    """MoveNet Lightning, one person, in the order of COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees,
    ankles, left of each pair first (the person's left).

    The whole frame is shown to it, padded to a square, never stretched.
    """

    name = "body-joints"

    def __init__(self, network: SquareNetwork, confident: float = CONFIDENT) -> None:
        self.network = network
        self.digest = network.digest
        self.confident = confident

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        height, width = frame.shape[:2]
        side = max(height, width)
        square = np.zeros((side, side, 3), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = frame
        resized = Image.fromarray(square).resize((self.network.side, self.network.side), Image.Resampling.BILINEAR)
        joints = self.network(np.asarray(resized)[None]).reshape(17, 3).astype(np.float64)  # y, x, score, in [0, 1]
        points = joints[:, 1::-1] * side - (left, top)
        points[joints[:, 2] < self.confident] = np.nan
        return None if np.isnan(points).all() else points


class KeypointRcnn:
    """The 17 joints (order of COCO) of the surest person by torchvision's keypoint R-CNN with a ResNet-50.

    network    a torchvision detection model, or anything that maps a list of images (3, H, W) to a list of dicts with
               scores (N,), keypoints (N, 17, 3) and keypoints_scores (N, 17); built if None
    sure       of a person, in [0, 1]; confident: a joint's score (a logit) below which it counts as not found
    """

    name = "keypoint-rcnn"
    digest = None

    def __init__(self, network: Any = None, device: str = "cpu", sure: float = 0.7, confident: float = 2.0) -> None:
        self.device = device
        self.network = network if network is not None else self._build(device)
        self.sure = sure
        self.confident = confident

    @staticmethod
    def _build(device: str) -> Any:
        from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights, keypointrcnn_resnet50_fpn

        try:
            network = keypointrcnn_resnet50_fpn(weights=KeypointRCNN_ResNet50_FPN_Weights.COCO_V1)
        except OSError as error:
            raise FommError(
                f"torchvision could not fetch its keypoint R-CNN: {error}.",
                "Try again online, or use --detectors body.",
            ) from error
        return network.eval().requires_grad_(False).to(device)

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        import torch

        image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).float().div(255).to(self.device)
        with torch.inference_mode():
            found = self.network([image])[0]
        if not len(found["scores"]) or float(found["scores"].max()) < self.sure:
            return None
        best = int(found["scores"].argmax())
        points = found["keypoints"][best, :, :2].cpu().numpy().astype(np.float64)
        points[found["keypoints_scores"][best].cpu().numpy() < self.confident] = np.nan
        return None if np.isnan(points).all() else points

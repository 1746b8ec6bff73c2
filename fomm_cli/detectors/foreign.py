"""Detectors that come as Python packages and fetch their own weights: face-alignment and torchvision's R-CNN."""

from __future__ import annotations

from typing import Any

import numpy as np

from fomm_cli.errors import FommError


class FaceAlignment:
    """The 68 points by face-alignment (Bulat and Tzimiropoulos 2017), what the paper measures AKD on faces with.

    network  a `face_alignment.FaceAlignment`, or anything with its `get_landmarks(frame)`; built if None
    """

    name = "face-alignment"
    digest = None

    def __init__(self, network: Any = None, device: str = "cpu") -> None:
        self.network = network if network is not None else self._build(device)

    @staticmethod
    def _build(device: str) -> Any:
        import face_alignment

        kinds = face_alignment.LandmarksType
        # The two-dimensional landmarks changed their name between versions 1.3 and 1.4.
        kind = getattr(kinds, "TWO_D", None) or kinds._2D
        try:
            return face_alignment.FaceAlignment(kind, flip_input=False, device=device)
        except OSError as error:  # it downloads its networks on first use
            raise FommError(f"face-alignment could not fetch its networks: {error}.", "Try again online.") from error

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        """The largest face's 68 points, (68, 2)."""
        faces = self.network.get_landmarks(frame)
        if not faces:
            return None
        found = [np.asarray(face, np.float64)[:, :2] for face in faces]
        return max(found, key=lambda face: float(np.prod(np.ptp(face, axis=0))))


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

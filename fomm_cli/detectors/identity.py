"""Who a face is: an embedding of the aligned face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fomm_cli.detectors.points import PointDetector
from fomm_cli.detectors.sessions import OnnxNetwork

SIDE = 112

# Where a frontal face has its eyes (left and right in the picture), nose tip and corners of the mouth: the usual
# positions of face recognition in a picture of 112 px. The network's makers crop more loosely; on real clips this tight
# crop parts people better (mean distance of different people 1.40 against 1.20, of one person 0.49 against 0.51).
REFERENCE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


def five(points: np.ndarray) -> np.ndarray:
    """Eyes, nose tip and mouth corners (5, 2) out of the 68 points of a face (68, 2)."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring points (N, 2) nearest to others: (2, 3), target = A @ (x, y, 1)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [(x, -y, 1, 0), (y, x, 0, 1)]
        values += [u, v]
    a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([(a, -b, c), (b, a, d)])


def align(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face turned and scaled so that its five points lie on the reference: uint8 (112, 112, 3)."""
    forward = similarity(points, REFERENCE)
    scale = float(np.hypot(forward[0, 0], forward[1, 0]))
    image = Image.fromarray(frame)
    if scale < 1:  # `transform` looks at the nearest pixels only: shrink with anti-aliasing first
        size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        image = image.resize(size, Image.Resampling.BICUBIC)
        points = points * (size[0] / frame.shape[1], size[1] / frame.shape[0])
        forward = similarity(points, REFERENCE)
    back = np.linalg.inv(np.vstack([forward, (0, 0, 1)]))[:2].ravel().tolist()
    return np.asarray(image.transform((SIDE, SIDE), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC))


class FaceIdentity:
    """MobileFaceNet on the face aligned by its landmarks. Embeddings are of length 1."""

    name = "face-identity"

    def __init__(self, path: Path, landmarks: PointDetector) -> None:
        self.network = OnnxNetwork(path)
        self.landmarks = landmarks
        self.digest = "+".join(part for part in (self.network.digest, landmarks.digest) if part)

    def embedding(self, frame: np.ndarray) -> np.ndarray | None:
        points = self.landmarks.points(frame)
        if points is None:
            return None
        return self.of(frame, points)

    def of(self, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The embedding of a face whose 68 points are known."""
        face = (align(frame, five(points)).astype(np.float32) / 255 - _MEAN) / _STD
        answer = self.network(np.ascontiguousarray(face.transpose(2, 0, 1)[None]))[0].astype(np.float64)
        return answer / max(float(np.linalg.norm(answer)), 1e-12)

"""Faces, by a small network in ONNX: Ultra-Light-Fast-Generic-Face-Detector, RFB-320 (Linzaer, MIT licence)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomm_cli.boxes import Edges, overlap
from fomm_cli.detectors.networks import NETWORKS, OnnxNetwork
from fomm_cli.detectors.protocol import Detection, PointDetector
from fomm_cli.errors import FommError

_WIDTH, _HEIGHT = 320, 240  # the network's input

# The network boxes a face from brow to chin. A clip must show the head: hair, ears and chin with some room to turn.
_HEAD = (0.2, 0.3, 0.2, 0.1)  # shares of the face's width and height added left, top, right, bottom


class FaceDetector:
    """Heads around faces.

    path        the ONNX file, None = the bundled one
    threshold   of the score, in [0, 1]
    """

    def __init__(self, path: str | Path | None = None, threshold: float = 0.7) -> None:
        file = NETWORKS["face-box"].find(path)
        self._network = OnnxNetwork(file)
        self.digest = self._network.digest
        session = self._network.session
        outputs = {item.name for item in session.get_outputs()}
        if list(session.get_inputs()[0].shape) != [1, 3, _HEIGHT, _WIDTH] or not {"scores", "boxes"} <= outputs:
            raise FommError(f"{file} is another network than RFB-320.", f"It comes from {NETWORKS['face-box'].source}.")
        self.threshold = threshold

    def detect(self, frame: np.ndarray) -> list[Detection]:
        """The heads in a picture, uint8 (H, W, 3), the surest first."""
        return [Detection(head(found.box), found.score) for found in self.faces(frame)]

    def faces(self, frame: np.ndarray) -> list[Detection]:
        """The faces alone, from brow to chin."""
        height, width = frame.shape[:2]
        scale = min(_WIDTH / width, _HEIGHT / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = np.full((_HEIGHT, _WIDTH, 3), 127, np.uint8)  # the picture keeps its proportions; the rest is grey
        step = max(1, int(0.5 / scale))  # large pictures are thinned out first, down to twice what is needed
        thin = Image.fromarray(np.ascontiguousarray(frame[::step, ::step]))
        small = thin.resize(size, Image.Resampling.BILINEAR)
        canvas[: size[1], : size[0]] = np.asarray(small)
        data = ((canvas.astype(np.float32) - 127.0) / 128.0).transpose(2, 0, 1)[None]
        scores, boxes = self._network.session.run(["scores", "boxes"], {self._network.input: data})
        sure = scores[0, :, 1] >= self.threshold
        edges = boxes[0, sure] * np.array([_WIDTH, _HEIGHT, _WIDTH, _HEIGHT]) / scale
        found = [
            Detection((float(a), float(b), float(c), float(d)), float(score))
            for (a, b, c, d), score in zip(edges, scores[0, sure, 1], strict=True)
            if a < c and b < d
        ]
        return suppress(found)


def suppress(found: list[Detection], limit: float = 0.3) -> list[Detection]:
    """Of boxes that overlap by more than `limit`, the surest alone (non-maximum suppression)."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda item: -item.score):
        if all(overlap(face.box, other.box) <= limit for other in kept):
            kept.append(face)
    return kept


def head(face: Edges) -> Edges:
    """The head around a face: hair, ears and chin, with some room to turn."""
    width, height = face[2] - face[0], face[3] - face[1]
    return (
        face[0] - _HEAD[0] * width,
        face[1] - _HEAD[1] * height,
        face[2] + _HEAD[2] * width,
        face[3] + _HEAD[3] * height,
    )


BOX = 1.1 * 1.15
"""Side of the square crop over the longer side of the face box: what the network was trained on, about."""

FindFace = Callable[[np.ndarray], Edges | None]
"""The most prominent face of a frame uint8 (H, W, 3): left, top, right, bottom in pixels; None where there is none."""


class FaceLandmarks:
    """Peppa's slim landmark network on a square around the face that `find` sees.

    The face is looked for anew in every frame, as the published evaluation does: what a result has lost counts as lost.
    """

    name = "face-landmarks"
    SIDE = 160

    def __init__(self, path: Path, find: FindFace, found_by: str | None = None) -> None:
        """found_by: digest of the network behind `find`."""
        self.network = OnnxNetwork(path)
        self.find = find
        self.digest = self.network.digest + (f"+{found_by}" if found_by else "")

    def points(self, frame: np.ndarray) -> np.ndarray | None:
        face = self.find(frame)
        if face is None:
            return None
        left, top, right, bottom = face
        side = max(right - left, bottom - top) * BOX
        if side < 1:
            return None
        x, y = (left + right - side) / 2, (top + bottom - side) / 2
        crop = cut(frame, (x, y, x + side, y + side), self.SIDE)
        batch = (crop[..., ::-1].astype(np.float32) - 127) / 127  # it reads blue, green, red
        answer = self.network(np.ascontiguousarray(batch.transpose(2, 0, 1)[None]))[0]
        return answer[:136].reshape(68, 2).astype(np.float64) * side + (x, y)


def cut(frame: np.ndarray, box: Edges, side: int) -> np.ndarray:
    """The content of a box as a square of `side` pixels, anti-aliased; beyond the frame its border is repeated."""
    left, top, right, bottom = box
    height, width = frame.shape[:2]
    reach = int(np.ceil(max(0, -left, -top, right - width, bottom - height)))
    if reach:
        frame = np.pad(frame, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    inside = (left + reach, top + reach, right + reach, bottom + reach)
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR, box=inside))


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
        return self.embedding_at(frame, self.landmarks.points(frame))

    def embedding_at(self, frame: np.ndarray, points: np.ndarray | None) -> np.ndarray | None:
        """The embedding of a face whose 68 points are known."""
        if points is None:
            return None
        face = (align(frame, five(points)).astype(np.float32) / 255 - _MEAN) / _STD
        answer = self.network(np.ascontiguousarray(face.transpose(2, 0, 1)[None]))[0].astype(np.float64)
        return answer / max(float(np.linalg.norm(answer)), 1e-12)


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

"""Faces, by a small network in ONNX: Ultra-Light-Fast-Generic-Face-Detector, RFB-320 (Linzaer, MIT licence)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fomm_cli.detectors.catalogue import NETWORKS
from fomm_cli.detectors.geometry import Edges, overlap
from fomm_cli.detectors.protocol import Detection
from fomm_cli.detectors.sessions import OnnxNetwork
from fomm_cli.errors import FommError

_WIDTH, _HEIGHT = 320, 240  # the network's input

# The network boxes a face from brow to chin. A clip must show the head: hair, ears and chin with some room to turn.
_HEAD = (0.2, 0.3, 0.2, 0.1)  # shares of the face's width and height added left, top, right, bottom


class FaceDetector:
    """Heads around faces.

    path        the ONNX file, None = the public one
    threshold   of the score, in [0, 1]
    """

    def __init__(self, path: str | Path | None = None, threshold: float = 0.7) -> None:
        try:
            file = NETWORKS["face-box"].find(path)
        except FommError as error:
            home = NETWORKS["face-box"].source
            hint = (
                f"Download it yourself from {home} and give its path, "
                "or crop without a network: a box x,y,w,h or, in clips, motion."
            )
            raise FommError(error.what, error.hint if path is not None else hint) from error
        self._network = OnnxNetwork(file)
        self.digest = self._network.digest
        session = self._network.session
        outputs = {item.name for item in session.get_outputs()}
        if list(session.get_inputs()[0].shape) != [1, 3, _HEIGHT, _WIDTH] or not {"scores", "boxes"} <= outputs:
            raise FommError(f"{file} is another network than RFB-320.", f"It comes from {NETWORKS['face-box'].source}.")
        self.threshold = threshold

    def detect(self, frame: np.ndarray) -> list[Detection]:
        """The heads in a picture, uint8 (H, W, 3), the surest first."""
        return [Detection(_head(found.box), found.score) for found in self.faces(frame)]

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
    for one in sorted(found, key=lambda item: -item.score):
        if all(overlap(one.box, other.box) <= limit for other in kept):
            kept.append(one)
    return kept


def _head(face: Edges) -> Edges:
    width, height = face[2] - face[0], face[3] - face[1]
    return (
        face[0] - _HEAD[0] * width,
        face[1] - _HEAD[1] * height,
        face[2] + _HEAD[2] * width,
        face[3] + _HEAD[3] * height,
    )

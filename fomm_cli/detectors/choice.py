"""Sets of detectors by name: what looks at faces, what looks at bodies, and which optional package each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fomm_cli.boxes import Edges
from fomm_cli.detectors.networks import NETWORKS
from fomm_cli.detectors.protocol import EmbeddingDetector, PointDetector
from fomm_cli.errors import FommError, nearest


class Chosen(NamedTuple):
    """What AKD and MKR use, and what AED uses; None where the set has none."""

    points: PointDetector | None
    embedding: EmbeddingDetector | None


@dataclass(frozen=True)
class Suite:
    """One choice of `--detectors`.

    metrics   it can serve
    networks  of NETWORKS that it runs; `--network NAME=FILE` gives a file instead of a download
    package   that must be importable; `install` is the line that brings it
    licence   and `source`: of the networks, where they come with that package
    build     network -> file, and a device, to the detectors
    """

    name: str
    does: str
    metrics: tuple[str, ...]
    networks: tuple[str, ...]
    package: str
    install: str
    licence: str
    source: str
    build: Callable[[dict[str, Path], str], Chosen]


def build(
    name: str,
    want: tuple[str, ...],
    paths: dict[str, Path],
    device: str = "cpu",
    say: Callable[[str], None] | None = None,
) -> Chosen:
    """The detectors of a suite, their networks fetched where no path is given.

    want   which of `akd`, `mkr` and `aed` are asked for; a network that only serves others is not fetched
    paths  network -> file
    say    told what is about to be downloaded
    """
    if name not in SUITES:
        raise FommError(f"There are no detectors called {name!r}.", nearest(name, list(SUITES)))
    suite = SUITES[name]
    for key in paths:
        if key not in NETWORKS:
            raise FommError(f"There is no network {key!r}.", nearest(key, list(NETWORKS)))
        if key not in suite.networks:
            raise FommError(f"The detectors {name!r} do not use the network {key!r}.", _uses(suite))
    lacking = [metric for metric in want if metric not in suite.metrics]
    if lacking:
        raise FommError(
            f"The detectors {name!r} cannot measure {', '.join(lacking).upper()}.",
            f"They measure {', '.join(suite.metrics).upper()}.",
        )
    if not available(suite):
        raise FommError(f"{suite.package}, which the detectors {name!r} need, is not installed.", suite.install)
    needed = [key for key in suite.networks if NETWORKS[key].serves in ("", *want)]
    files = {key: NETWORKS[key].find(paths.get(key), say) for key in needed}
    chosen = suite.build(files, device)
    return Chosen(chosen.points if {"akd", "mkr"} & set(want) else None, chosen.embedding if "aed" in want else None)


def available(suite: Suite) -> bool:
    """Whether the package that runs it is installed; nothing is imported."""
    from importlib.util import find_spec

    return find_spec(suite.package) is not None


def _uses(suite: Suite) -> str:
    return f"They use {', '.join(suite.networks)}." if suite.networks else "They bring their own."


def largest_face(path: Path) -> Callable[[np.ndarray], Edges | None]:
    """Finds the largest face of a frame by the RFB-320 network."""
    from fomm_cli.detectors.faces import FaceDetector

    detector = FaceDetector(path)

    def find(frame: np.ndarray) -> Edges | None:
        boxes = [found.box for found in detector.faces(frame)]
        return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)

    return find


def _faces(files: dict[str, Path], device: str) -> Chosen:
    from fomm_cli.detectors.faces import FaceIdentity, FaceLandmarks
    from fomm_cli.files.disk import sha256

    box = files["face-box"]
    landmarks = FaceLandmarks(files["face-landmarks"], largest_face(box), sha256(box))
    identity = files.get("face-identity")
    return Chosen(landmarks, FaceIdentity(identity, landmarks) if identity else None)


def _bodies(files: dict[str, Path], device: str) -> Chosen:
    from fomm_cli.detectors.bodies import BodyJoints
    from fomm_cli.detectors.networks import LiteNetwork

    return Chosen(BodyJoints(LiteNetwork(files["body-joints"])), None)


def _face_alignment(files: dict[str, Path], device: str) -> Chosen:
    from fomm_cli.detectors.faces import FaceAlignment

    return Chosen(FaceAlignment(device=device), None)


def _keypoint_rcnn(files: dict[str, Path], device: str) -> Chosen:
    from fomm_cli.detectors.bodies import KeypointRcnn

    return Chosen(KeypointRcnn(device=device), None)


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="face",
            does="68 points and identity of the largest face",
            metrics=("akd", "mkr", "aed"),
            networks=("face-box", "face-landmarks", "face-identity"),
            package="onnxruntime",
            install='pip install "fomm-cli[face]"',
            licence="MIT, Apache-2.0",
            source="see the networks",
            build=_faces,
        ),
        Suite(
            name="body",
            does="17 joints of one body",
            metrics=("akd", "mkr"),
            networks=("body-joints",),
            package="ai_edge_litert",
            install='pip install "fomm-cli[body]"',
            licence="Apache-2.0",
            source="see the networks",
            build=_bodies,
        ),
        Suite(
            name="face-alignment",
            does="68 points of a face, the paper's detector",
            metrics=("akd", "mkr"),
            networks=(),
            package="face_alignment",
            install="pip install face-alignment",
            licence="BSD-3-Clause",
            source="https://github.com/1adrianb/face-alignment",
            build=_face_alignment,
        ),
        Suite(
            name="keypoint-rcnn",
            does="17 joints of the surest body, torchvision's keypoint R-CNN",
            metrics=("akd", "mkr"),
            networks=(),
            package="torchvision",
            install="pip install torchvision",
            licence="BSD-3-Clause",
            source="https://github.com/pytorch/vision",
            build=_keypoint_rcnn,
        ),
    )
}

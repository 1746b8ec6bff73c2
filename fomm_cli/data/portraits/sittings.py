"""A folder of portraits, with the points and mattes that lie beside it or that MediaPipe finds."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from fomm_cli.data.portraits.figure import Portrait
from fomm_cli.data.portraits.surfaces import UnfitError
from fomm_cli.errors import FommError
from fomm_cli.media.image import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Sitting(NamedTuple):
    """One picture of a person.

    person  who it is: what of the file's name `person` matches
    path    the picture
    key     its name in the file of points
    points  that file, None: MediaPipe looks
    """

    person: str
    path: Path
    key: str
    points: Path | None


def find_sittings(folders: list[Path], points: Path | None, person: str) -> list[Sitting]:
    """All pictures of the folders, in order of person and name.

    points  a file, or a folder of files called like the folders; by default FOLDER/points.npz or FOLDER.npz
    person  a regular expression that matches, from the start of a file's name, the person in it
    """
    try:
        pattern = re.compile(person)
    except re.error as error:
        raise FommError(
            f"{person!r} is no regular expression: {error}.", "The default takes the name up to a #."
        ) from None
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise FommError(f"{folder} is no folder.", "Give one that holds portraits.")
        beside = _points_of(folder, points)
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                match = pattern.match(path.stem)
                found.append(Sitting(match.group() if match and match.group() else path.stem, path, path.stem, beside))
    if not found:
        raise FommError(
            f"No pictures in {', '.join(str(folder) for folder in folders)}.",
            f"Portraits end in {', '.join(SUFFIXES)}.",
        )
    return sorted(found, key=lambda sitting: (sitting.person, sitting.path))


def _points_of(folder: Path, points: Path | None) -> Path | None:
    if points is not None:
        path = points / f"{folder.name}.npz" if points.is_dir() else points
        if not path.is_file():
            raise FommError(
                f"There are no points in {path}.", "Give the .npz, or a folder of them called like the portraits'."
            )
        return path
    return next((path for path in (folder / "points.npz", folder.with_suffix(".npz")) if path.is_file()), None)


@dataclass(frozen=True)
class PointsFile:
    """Points and mattes: `names` (N,), `points` (N, 478, 3) in pixels, `matte_png` with `matte_offsets` (N + 1)."""

    path: Path

    @cached_property
    def _stored(self) -> dict[str, Any]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                stored = {key: file[key] for key in ("names", "points", "matte_png", "matte_offsets")}
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise FommError(
                f"{self.path} is no file of face points: {error}.",
                "It holds names, points, matte_png and matte_offsets; see docs/dataset-synth.md.",
            ) from error
        count, offsets = len(stored["names"]), stored["matte_offsets"]
        fine = stored["points"].shape == (count, 478, 3) and offsets.shape == (count + 1,)
        if not fine or not np.isfinite(stored["points"]).all() or (np.diff(offsets) < 0).any():
            raise FommError(f"{self.path} holds points of other shapes.", "They are (N, 478, 3), offsets (N + 1).")
        return stored

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {str(name): row for row, name in enumerate(self._stored["names"])}

    def read(self, key: str, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (478, 3) and matte uint8 (H, W); raises UnfitError."""
        if key not in self._rows:
            raise UnfitError(f"{self.path.name} has no points of it")
        row, stored = self._rows[key], self._stored
        start, end = stored["matte_offsets"][row : row + 2]
        try:
            matte = np.asarray(Image.open(io.BytesIO(stored["matte_png"][start:end].tobytes())).convert("L"))
        except (OSError, Image.DecompressionBombError) as error:
            raise UnfitError(f"its matte in {self.path.name} is damaged") from error
        if matte.shape != picture.shape[:2]:
            raise UnfitError(
                f"its matte is {matte.shape[1]}x{matte.shape[0]}, the picture {picture.shape[1]}x{picture.shape[0]}"
            )
        return stored["points"][row], matte


class MediaPipe:
    """The same from MediaPipe's own networks, which its wheel carries (Apache-2.0)."""

    def __init__(self) -> None:
        try:
            from mediapipe.python.solutions.face_mesh import FaceMesh
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
        except ImportError as error:
            raise FommError(
                "Face points are found with MediaPipe, which is not installed.",
                'Install it: pip install "fomm-cli[portraits]", or give --points FILE, as other tools can write it.',
            ) from error
        self._mesh = FaceMesh(
            static_image_mode=True, max_num_faces=2, refine_landmarks=True, min_detection_confidence=0.4
        )
        self._matte = SelfieSegmentation(model_selection=0)

    def read(self, key: str, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `PointsFile.read`."""
        high, wide = picture.shape[:2]
        faces = self._mesh.process(picture).multi_face_landmarks or []
        if len(faces) != 1:
            raise UnfitError(f"{len(faces)} faces were found in it" if faces else "no face was found in it")
        points = np.array([[p.x * wide, p.y * high, p.z * wide] for p in faces[0].landmark], np.float32)
        side = max(high, wide)  # its network sees a square: the picture keeps its proportions
        left = (side - wide) // 2
        square = np.pad(picture, ((0, side - high), (left, side - wide - left), (0, 0)), mode="edge")
        matte = self._matte.process(np.ascontiguousarray(square)).segmentation_mask[:high, left : left + wide]
        return points, (matte.clip(0, 1) * 255 + 0.5).astype(np.uint8)


class Reader:
    """Reads sittings; a file of points is opened once."""

    def __init__(self) -> None:
        self._sources: dict[Path | None, PointsFile | MediaPipe] = {}

    def read(self, sitting: Sitting) -> Portrait:
        """Raises UnfitError where a picture cannot be used."""
        source = self._sources.get(sitting.points)
        if source is None:
            source = MediaPipe() if sitting.points is None else PointsFile(sitting.points)
            self._sources[sitting.points] = source
        try:
            picture = read_image(sitting.path)
        except FommError as error:
            raise UnfitError(error.what) from error
        return Portrait(picture, *source.read(sitting.key, picture))


def people(sittings: list[Sitting]) -> Iterator[tuple[str, list[Sitting]]]:
    """Each person with all their pictures, in order."""
    together: dict[str, list[Sitting]] = {}
    for sitting in sittings:
        together.setdefault(sitting.person, []).append(sitting)
    yield from together.items()

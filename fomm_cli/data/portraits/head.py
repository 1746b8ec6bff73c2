"""A human head in numbers: ICT-FaceKit (Li et al., "Learning Formation of Physically-Based Face Attributes", 2020).

The light model, reduced to 30 identities and 43 expressions of 8 bits, MIT licence (see `assets/`). Units are cm; x is
right in the picture, y up, z to the viewer. Names end in `_L` and `_R` for the person's left, right in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

TEETH_UPPER, TEETH_LOWER = slice(16271, 18479), slice(18479, 20683)
GUMS, SOCKET = slice(13294, 16271), slice(11248, 13294)
SKIN = slice(0, 11248)
DRAWN = 20683  # vertices before the eyeballs, which are drawn as spheres
EYEBALLS = (slice(22253, 23023), slice(20683, 21453))  # left in the picture first

# Where the 68 landmarks lie among the 478 points of MediaPipe's face mesh.
LANDMARKS_OF_478 = [
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),  # lips
]
JAW, BROWS, NOSE, LIPS, INNER_LIPS = slice(0, 17), slice(17, 27), slice(27, 36), slice(48, 68), slice(60, 68)
EYES = (slice(36, 42), slice(42, 48))  # left in the picture first


@dataclass(frozen=True)
class HeadModel:
    """The shapes.

    neutral      (V, 3)
    identities   (30, V, 3), in standard deviations
    expressions  (43, V, 3), 1 is the full expression
    landmarks    (68,) vertices
    triangles    part -> (N, 3): narrow (the face), face, head, mouth, gums, teeth
    """

    neutral: np.ndarray
    identities: np.ndarray
    expressions: np.ndarray
    names: tuple[str, ...]
    landmarks: np.ndarray
    triangles: dict[str, np.ndarray]

    def columns(self, *names: str) -> list[int]:
        """Where expressions are; a name without side stands for both sides."""
        found = []
        for name in names:
            found += [i for i, known in enumerate(self.names) if known in (name, f"{name}_L", f"{name}_R")]
        return found


@cache
def head_model() -> HeadModel:
    """The bundled geometry, read once a process."""
    with (files("fomm_cli") / "assets" / "ict-facekit.npz").open("rb") as file, np.load(file) as stored:
        shapes = {
            key: stored[key].astype(np.float32) * stored[f"{key}_scale"][:, None, None].astype(np.float32)
            for key in ("E", "I")
        }
        triangles = {key[4:]: stored[key].astype(np.int64) for key in stored.files if key.startswith("tri_")}
        return HeadModel(
            stored["neutral"].astype(np.float32),
            shapes["I"],
            shapes["E"],
            tuple(str(name) for name in stored["names"]),
            stored["lm"].astype(np.int64),
            triangles,
        )

"""Where the parts of a picture that move lie in it, told to editors that put them there themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fomm_cli.animate.settings import Report
from fomm_cli.animate.whole import Stage, Whole
from fomm_cli.boxes import SIDES
from fomm_cli.files import disk

FORMAT = "fomm.crop/1"


def write_sidecar(
    path: Path, stage: Stage, report: Report, force: bool, names: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write it, atomically, as JSON; what stands in it is told in docs/animate.md.

    names  what files are called to whom it is told
    """
    told = json.dumps(sidecar(stage, report, names), indent=1)
    rows = re.sub(r"\[[-\d.,\s]*\]", lambda found: " ".join(found[0].split()), told)  # numbers side by side
    disk.write_text(path, rows + "\n", force)


def sidecar(stage: Stage, report: Report, names: Mapping[str, str]) -> dict[str, Any]:
    """Sizes are width and height, boxes left, top, width and height, all in pixels of the upright source."""
    picture = stage.faces[0].picture
    drivings: list[str | None] = [names.get(face.driving.name, face.driving.name) for face in report.faces] or [None]
    name = None if stage.path is None else names.get(stage.path.name, stage.path.name)
    return {
        "format": FORMAT,
        "source": {"name": name, "size": [*picture.shape[1::-1]]},
        "frames": {"size": [*report.size[::-1]], "count": report.frames, "rate": str(report.rate)},
        "whole": isinstance(stage, Whole),
        "parts": [_part(stage, number, driving) for number, driving in enumerate(drivings)],
    }


def _part(stage: Stage, number: int, driving: str | None) -> dict[str, Any]:
    scene = stage.faces[number]
    told: dict[str, Any] = {
        "box": list(scene.box),
        "matrix": [[round(float(value), 6) for value in row] for row in scene.matrix],
        "network": [*scene.runner.engine.output_size[::-1]],
    }
    if isinstance(stage, Whole):
        patch = stage.patches[number]
        told |= {
            "driving": driving,
            "window": list(patch.window),
            "held": [name for name, side in zip(SIDES, patch.sides, strict=True) if side],
            "pin": patch.pin,
            "feather": patch.feather,
            "taper": None if scene.taper is None else [[round(float(v), 4) for v in row] for row in scene.taper],
        }
    return told

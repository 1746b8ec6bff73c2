"""What an animation writes into its files about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fomm_cli.animate.settings import Settings
from fomm_cli.engine.base import Engine
from fomm_cli.files.disk import sha256
from fomm_cli.files.folder import digest
from fomm_cli.media.provenance import SOURCE_TYPE, Mark
from fomm_cli.media.signing import MIMES
from fomm_cli.version import __version__

MARKS = ["tag", "full", "none"]
_PRIVATE = {"face_detector", "force", "sign", "badge", "mark", "paste", "crop_json", "mask"}
"""Settings that are paths, or say nothing of the picture."""


def mark_of(engine: Engine, source: Path | None, drivings: Sequence[Path], settings: Settings) -> Mark | None:
    """The mark of files made so; None where none is wanted. The same work has the same mark, on any day.

    `tag` tells of program and weights; `full` also the hashes of source and driving, and the settings.
    """
    if settings.mark == "none":
        return None
    record: dict[str, Any] = {
        "synthetic": True,
        "software": f"fomm {__version__}",
        "digital_source_type": SOURCE_TYPE,
        "weights": getattr(engine, "weights", ""),
        "detector": engine.detector,
    }
    ingredients: tuple[tuple[str, Path], ...] = ()
    if settings.mark == "full":
        record["driving"] = [_digest(path) for path in drivings]
        if source is not None:
            record["source"] = _digest(source)
        asked = asdict(settings) | {"background": Path(settings.background).name}  # of a picture no folder
        record["settings"] = {
            name: value if isinstance(value, bool | int | float | dict | None) else str(value)
            for name, value in asked.items()
            if name not in _PRIVATE
        }
        named = [("parentOf", source), *(("inputTo", path) for path in drivings)]
        ingredients = tuple((word, path) for word, path in named if path is not None and path.suffix.lower() in MIMES)
    return Mark(record, ingredients)


def _digest(path: Path) -> str:
    return f"sha256:{digest(path) if path.is_dir() else sha256(path)}"

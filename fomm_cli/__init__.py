"""fomm: make a still picture move.

>>> from fomm_cli import load_model, Animator
>>> model = load_model("toon-128")
>>> for frame in Animator(model, source).frames(driving_frames): ...

Both names load lazily, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fomm_cli.version import __version__

if TYPE_CHECKING:
    from fomm_cli.animate.animator import Animator
    from fomm_cli.weights.load import load_model

__all__ = ["Animator", "__version__", "load_model"]

_HOMES = {"Animator": "fomm_cli.animate.animator", "load_model": "fomm_cli.weights.load"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fomm_cli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

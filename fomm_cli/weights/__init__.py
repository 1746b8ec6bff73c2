"""Weights: one self-sufficient file, names that resolve to it, and the way in for published checkpoints.

The names below load lazily: listing the catalogue needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fomm_cli.weights.convert import convert
    from fomm_cli.weights.file import save_weights
    from fomm_cli.weights.header import read_header
    from fomm_cli.weights.load import Initial, init_from, load_model, read_config
    from fomm_cli.weights.names import resolve

__all__ = ["Initial", "convert", "init_from", "load_model", "read_config", "read_header", "resolve", "save_weights"]

_HOMES = {
    "Initial": "load",
    "convert": "convert",
    "init_from": "load",
    "load_model": "load",
    "read_config": "load",
    "read_header": "header",
    "resolve": "names",
    "save_weights": "file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fomm_cli.weights' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"fomm_cli.weights.{_HOMES[name]}"), name)

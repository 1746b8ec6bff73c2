"""YAML files of the authors' own repositories, translated to ours by the tables that each family brings."""

from __future__ import annotations

from typing import Any

from fomm_cli.errors import FommError, nearest
from fomm_cli.model.families import FAMILIES

MARKS = ("model_params", "train_params", "dataset_params")
"""Sections by which such a file is known."""

# Sections with no counterpart at all: reported as ignored, whole.
_FOREIGN = ("reconstruction_params", "visualizer_params", "animate_params")


def translate(tree: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(our tree, ignored keys) of an upstream config, in the vocabulary that knows the most of its keys.

    Raises FommError for keys that this vocabulary does not have either.
    """
    theirs = dict(_flat(tree))
    tables = {family: published for family in FAMILIES.values() if (published := family.published()) is not None}
    family = max(tables, key=lambda family: sum(key in tables[family].KEYS for key in theirs))
    published = tables[family]
    ours: dict[str, Any] = {"model": {"family": family.name}}
    for silent, default in published.SILENT.items():
        _put(ours, silent, default)
    ignored, unknown = [], []
    for key, value in theirs.items():
        target = published.KEYS.get(key)
        if target is not None:
            _put(ours, target, published.in_our_terms(key, value))
        elif key in published.KEYS or key.split(".")[0] in _FOREIGN:
            ignored.append(key)
        else:
            unknown.append(key)
    if unknown:
        raise FommError(
            f"{', '.join(unknown)}: no {'key' if len(unknown) == 1 else 'keys'} of the original's configs.",
            f"{nearest(unknown[0], list(published.KEYS))} Remove what is foreign, or write the file in our own keys.",
        )
    return ours, ignored


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value

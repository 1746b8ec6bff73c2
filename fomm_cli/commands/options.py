"""Options that several verbs share: one spelling, one help text each."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def _offline(value: bool) -> None:
    if value:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the Hub's client and processes started from here obey it too


Offline = Annotated[
    bool, typer.Option("--offline", callback=_offline, help="Fetch nothing: what is not here yet is refused.")
]
"""Acts by itself: HF_HUB_OFFLINE for the rest of the command."""

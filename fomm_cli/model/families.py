"""The families there are: a dict beside the classes. A new one is its folder and its line here."""

from __future__ import annotations

from typing import Any

from fomm_cli.errors import FommError, nearest
from fomm_cli.model.family import Family
from fomm_cli.model.first_order.family import FirstOrder
from fomm_cli.model.live_portrait.family import LivePortrait
from fomm_cli.model.regions.family import ArticulatedRegions
from fomm_cli.model.thin_plate.family import ThinPlate

FAMILIES: dict[str, Family] = {
    family.name: family for family in (FirstOrder(), ThinPlate(), ArticulatedRegions(), LivePortrait())
}


def family_of(config: Any) -> Family:
    """The family of a `model` section: a config, nested plain values, or the tag itself. Without a tag, first order."""
    if isinstance(config, dict):
        tag = config.get("family", FirstOrder.name)
    else:
        tag = config if isinstance(config, str) else config.family
    if not isinstance(tag, str) or tag not in FAMILIES:
        raise FommError(f"There is no family of models {tag!r}.", nearest(str(tag), list(FAMILIES)))
    return FAMILIES[tag]

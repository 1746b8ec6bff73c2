"""Sources and drivings that stay open for whoever asks next, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fomm_cli.animate.driving import Driving
from fomm_cli.animate.whole import Stage

T = TypeVar("T")


class Kept:
    """What was used last, up to a number of bytes; the very last is kept whatever it weighs."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._things: OrderedDict[Any, tuple[Any, Callable[[Any], int]]] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T], size: Callable[[T], int]) -> T:
        if key not in self._things:
            self._things[key] = make(), size
        self._things.move_to_end(key)
        return self._things[key][0]

    def weigh(self) -> None:
        """Let go of what was not used for longest; things grow while they are used."""
        sizes = {key: size(thing) for key, (thing, size) in self._things.items()}
        total = sum(sizes.values())
        for key in list(self._things)[:-2]:
            if total <= self.limit:
                return
            total -= sizes[key]
            del self._things[key]

    def clear(self) -> None:
        self._things.clear()


def scene_bytes(stage: Stage) -> int:
    picture = stage.faces[0].picture.nbytes
    return picture + sum(scene.source.nbytes + _bytes(scene.encoded) for scene in stage.faces)


def driving_bytes(driving: Driving) -> int:
    return driving.weight


def _bytes(thing: Any) -> int:
    """Of the arrays and tensors in something."""
    if isinstance(thing, dict):
        return sum(_bytes(each) for each in thing.values())
    if isinstance(thing, tuple | list):
        return sum(_bytes(each) for each in thing)
    return int(getattr(thing, "nbytes", 0) or 0) if not isinstance(thing, np.generic) else 0

"""What is measured: networks, and the baseline every network must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from fomm_cli.engine.base import check_motion
from fomm_cli.errors import FommError, nearest
from fomm_cli.model.network import AnimationModel

Mode = Literal["reconstruction", "relative", "absolute", "avd"]


class Take(NamedTuple):
    """What a method makes of a few driving frames.

    prediction  (B, 3, H, W) in [0, 1]
    keypoints   (B, K, 2) of the driving frames; None where the method knows none
    """

    prediction: Tensor
    keypoints: Tensor | None


Performance = Callable[[Tensor], Take]
"""From driving frames (B, 3, H, W) to predictions, for one source."""


class Method(Protocol):
    """name is its column in the report, size the (H, W) it works at, None for any."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> tuple[int, int] | None: ...

    def check(self, mode: Mode, adapt_scale: bool) -> None:
        """Refuse a mode of animation that it does not have."""
        ...

    def start(self, source: Tensor, initial: Tensor, mode: Mode, adapt_scale: bool = True) -> Performance:
        """Take in a source (1, 3, H, W); `initial` is the driving frame that stands for its pose in relative mode."""
        ...


class Column(NamedTuple):
    """One column of the table: who animates and how."""

    name: str
    method: Method
    mode: Mode


def columns(methods: Sequence[Method], modes: Sequence[Mode], adapt_scale: bool = True) -> list[Column]:
    """Every method in every mode; what has to be compared stands side by side.

    Raises FommError, which names the method: a mode that these weights do not have.
    """
    for method in methods:
        for mode in modes:
            try:
                method.check(mode, adapt_scale)
            except FommError as error:
                raise FommError(f"{method.name}: {error.what}", error.hint) from error
    return [Column(f"{method.name}, {mode}", method, mode) for mode in modes for method in methods]


def floors(table: Sequence[Column]) -> dict[str, str]:
    """Column -> the column it is compared with: of the same mode the first baseline, or the first of all."""
    chosen: dict[str, str] = {}
    for column in table:
        peers = [other for other in table if other.mode == column.mode]
        baseline = next((other for other in peers if other.method.size is None), peers[0])
        chosen[column.name] = baseline.name
    return chosen


class Copy:
    """The source, whatever the driving frame."""

    name = "copy"
    size: tuple[int, int] | None = None

    def check(self, mode: Mode, adapt_scale: bool) -> None:
        """A copy is one in every mode."""

    def start(self, source: Tensor, initial: Tensor, mode: Mode, adapt_scale: bool = True) -> Performance:
        return lambda driving: Take(source.expand_as(driving), None)


class Network:
    """A model's raw output, before any rounding or encoding. In reconstruction mode keypoints are used as they are."""

    def __init__(self, name: str, model: AnimationModel) -> None:
        self.name = name
        self.model = model

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.model.size
        return height, width

    def check(self, mode: Mode, adapt_scale: bool) -> None:
        check_motion(self.model, mode, adapt_scale)

    @torch.inference_mode()
    def start(self, source: Tensor, initial: Tensor, mode: Mode, adapt_scale: bool = True) -> Performance:
        family, encoded = self.model.family, self.model.encode(source)
        kp_source = self.model.detect(source)
        kp_initial = self.model.detect(initial) if mode == "relative" else kp_source

        @torch.inference_mode()
        def perform(driving: Tensor) -> Take:
            found = self.model.detect(driving)
            pose = found
            if mode != "reconstruction":
                if mode == "avd":
                    moved = self.model.disentangle(kp_source, found)
                else:
                    moved = family.transfer(kp_source, found, kp_initial, mode, adapt_scale)
                pose = family.settle(self.model, kp_source, moved)
            # What lies behind moves with the camera only where both are frames of one clip.
            background = self.model.background(source.expand_as(driving), driving) if mode == "reconstruction" else None
            rendered = self.model.render(encoded, kp_source, pose, background=background, deformed=False)
            return Take(rendered.prediction, found.value)

        return perform


BASELINES: dict[str, type[Copy]] = {"copy": Copy}


def methods(weights: list[str], baselines: list[str], device: str = "auto") -> list[Method]:
    """Baselines first, then one network for each name or path of weights, in the order given."""
    found: list[Method] = []
    for name in dict.fromkeys(baselines):
        if name not in BASELINES:
            raise FommError(f"There is no baseline {name!r}.", nearest(name, list(BASELINES)))
        found.append(BASELINES[name]())
    if weights:
        from fomm_cli.weights.load import load_model

        for number, spelled in enumerate(weights, start=1):
            name = Path(spelled).stem if spelled.endswith(".safetensors") else spelled
            if any(name == other.name for other in found):
                name = f"{name} ({number})"
            found.append(Network(name, load_model(spelled, device)))
    if not found:
        raise FommError("Nothing to evaluate.", "Give --weights NAME|FILE, or a floor with --baseline copy.")
    return found

"""What every evaluation needs before its first clip: methods, metrics, detectors, a size and a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fomm_cli.errors import FommError
from fomm_cli.evaluate.frechet import Inception, Shelf
from fomm_cli.evaluate.measures import DETECTOR_METRICS, Measures
from fomm_cli.evaluate.methods import Method, methods
from fomm_cli.evaluate.observers import Observers
from fomm_cli.evaluate.ranks import Ranks
from fomm_cli.files import disk


@dataclass(frozen=True)
class Request:
    """What a command line asked for.

    weights    names or paths; baselines: names
    metrics    in the order of the report
    detectors  the suite for AKD, MKR and AED
    networks   network of the catalogue -> file, in place of a download
    lpips      AlexNet's file, inception that of FID's network, in place of downloads
    keeps      whether there is a folder for what is found of every clip
    size       side of the frames; None = the weights' own, or the clips' own without weights
    """

    weights: tuple[str, ...]
    baselines: tuple[str, ...]
    metrics: tuple[str, ...]
    detectors: str = "face"
    networks: dict[str, Path] = field(default_factory=dict)
    lpips: Path | None = None
    inception: Path | None = None
    size: int | None = None
    batch: int = 8
    device: str = "auto"
    keeps: bool = False


@dataclass
class Setup:
    """The parts, built.

    size   (H, W) of the evaluation; None takes every clip's own
    about  what goes into the report and decides whether two evaluations are the same
    """

    methods: list[Method]
    measures: Measures
    observers: Observers
    metrics: tuple[str, ...]
    size: tuple[int, int] | None
    batch: int
    device: torch.device
    about: dict[str, Any]
    inception: Inception | None = None

    def shelf(self) -> Shelf | None:
        """An empty one for the features of a clip, where FID is asked for."""
        return Shelf(self.inception) if self.inception is not None else None

    @property
    def names(self) -> list[str]:
        return [method.name for method in self.methods]


def networks(given: list[str]) -> dict[str, Path]:
    """`NAME=FILE` of the command line, as a mapping."""
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path:
            hint = "Write NAME=FILE, as in face-box=rfb.onnx; `fomm eval detectors` lists the names."
            raise FommError(f"{text!r} does not say which network a file is.", hint)
        found[name] = Path(path)
    return found


def prepare(
    request: Request, ranks: Ranks, say: Callable[[str], None], metrics: tuple[str, ...] | None = None
) -> Setup:
    """Build everything a request names. Raises FommError for whatever is not there, before any clip is opened.

    say      told the device, and what is about to be downloaded
    metrics  that detectors are wanted for, if not those of the request
    """
    from fomm_cli import device as devices

    device = devices.resolve(ranks.device(request.device))
    say(f"Device: {devices.describe(device)}")
    if warned := devices.warning(device):
        say(f"Warning: {warned}")
    found = methods(list(request.weights), list(request.baselines), str(device))
    if not ranks.first:
        ranks.gather(None)  # the first process fetches what is missing; the others find it in the cache
    try:
        inception = _inception(request, device, say)
        lpips, observers, detectors = _instruments(request, metrics or request.metrics, device, say)
    finally:
        if ranks.first:
            ranks.gather(None)
    size = _size(found, request.size)
    about: dict[str, Any] = {
        "size": list(size) if size else "each clip's own",
        "batch": request.batch,
        "device": device.type,
        "metrics": list(request.metrics),
        "methods": described(found, request.weights),
        "detectors": detectors,
        "inception": {"sha256": inception.digest} if inception is not None else None,
        "lpips": {"backbone": "alexnet", "sha256": lpips.digest} if lpips is not None else None,
    }
    measures = Measures(request.metrics, lpips)
    return Setup(found, measures, observers, request.metrics, size, request.batch, device, about, inception)


def _inception(request: Request, device: torch.device, say: Callable[[str], None]) -> Inception | None:
    if "fid" not in request.metrics:
        return None
    if not request.keeps:
        raise FommError("FID keeps the features of every clip.", "Give a folder for them with --out.")
    from fomm_cli.evaluate import frechet

    return frechet.load(request.inception, device, say)


def described(found: list[Method], weights: Sequence[str]) -> list[dict[str, Any]]:
    """Each method with what it is made of; networks stand in the order of `weights`, behind the baselines."""
    from fomm_cli.weights.load import resolve

    baselines = len(found) - len(weights)
    entries: list[dict[str, Any]] = [{"name": method.name} for method in found[:baselines]]
    for method, spelled in zip(found[baselines:], weights, strict=True):
        entries.append({"name": method.name, "weights": spelled, "sha256": disk.sha256(resolve(spelled))})
    return entries


def _instruments(
    request: Request, metrics: tuple[str, ...], device: torch.device, say: Callable[[str], None]
) -> tuple[Any, Observers, dict[str, Any] | None]:
    lpips = None
    if "lpips" in metrics:
        from fomm_cli.evaluate.lpips import load

        lpips = load(request.lpips, device, say)
    wanted = tuple(metric for metric in metrics if metric in DETECTOR_METRICS)
    if not wanted:
        return lpips, Observers(), None
    from fomm_cli.detectors.choice import SUITES, build

    chosen = build(request.detectors, wanted, request.networks, str(device), say)
    suite = SUITES[request.detectors]
    used = {part.name: part.digest for part in (chosen.points, chosen.embedding) if part is not None}
    about = {"name": suite.name, "sha256": used, "licence": suite.licence, "source": suite.source}
    return lpips, Observers(chosen.points, chosen.embedding), about


def _size(found: list[Method], side: int | None) -> tuple[int, int] | None:
    if side is not None:
        return side, side
    sizes = {method.name: method.size for method in found if method.size is not None}
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{name} {size[0]}x{size[1]}" for name, size in sizes.items())
        raise FommError(f"These weights work at different sizes: {each}.", "Choose the size of the frames with --size.")
    return next(iter(sizes.values()), None)

"""What every evaluation needs before its first clip: methods, metrics, detectors, a size and a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fomm_cli import device as devices
from fomm_cli.errors import FommError
from fomm_cli.evaluate import metrics as known
from fomm_cli.evaluate.frechet import Inception, Shelf
from fomm_cli.evaluate.methods import Method, methods
from fomm_cli.evaluate.metrics import METRICS, Kind, Measures
from fomm_cli.evaluate.observers import Observers
from fomm_cli.files import disk
from fomm_cli.processes import World, gather, own_device

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """Who is measured, by what, and where.

    weights    names or paths; baselines: names
    metrics    by name, in any order; none takes those that the task measures unasked
    detectors  the suite for AKD, MKR and AED
    networks   network of the catalogue -> file, in place of a download
    lpips      AlexNet's file, inception that of FID's network, in place of downloads
    size       side of the frames; None = the weights' own, or the clips' own without weights
    """

    weights: Sequence[str] = ()
    baselines: Sequence[str] = ()
    metrics: Sequence[str] = ()
    detectors: str = "face"
    networks: Mapping[str, Path] = field(default_factory=dict)
    lpips: Path | None = None
    inception: Path | None = None
    size: int | None = None
    batch: int = 8
    device: str = "auto"


@dataclass(frozen=True)
class Setup:
    """The parts, built.

    size   (H, W) of the evaluation; None takes every clip's own
    about  what goes into the report and decides whether two evaluations are the same
    """

    methods: Sequence[Method]
    measures: Measures
    observers: Observers = field(default_factory=Observers)
    metrics: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    batch: int = 8
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    inception: Inception | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def shelf(self) -> Shelf | None:
        """An empty one for the features of a clip, where FID is asked for."""
        return Shelf(self.inception) if self.inception is not None else None


def prepare(request: Request, kind: Kind, keeps: bool, world: World, say: Say) -> Setup:
    """Build everything a request names. Raises FommError for whatever is not there, before any clip is opened.

    kind   of evaluation: which metrics there are
    keeps  whether there is a folder for what is found of every clip
    say    told the device, and what is about to be downloaded
    """
    metrics = known.chosen(",".join(request.metrics), kind) if request.metrics else known.defaults(kind)
    if "fid" in metrics and not keeps:
        raise FommError("FID keeps the features of every clip.", "Give a folder for them with --out.")
    device = devices.resolve(request.device)
    if request.device in ("auto", "cuda"):
        device = own_device(device, world)
    say(f"Device: {devices.describe(device)}")
    if warned := devices.warning(device):
        say(f"Warning: {warned}")
    found = methods(list(request.weights), list(request.baselines), str(device))
    if not world.first:
        gather([], world)  # the first process fetches what is missing; the others find it in the cache
    try:
        lpips, inception = _networks(request, metrics, device, say)
        observers, detectors = _observers(request, metrics, device, say)
    finally:
        if world.first:
            gather([], world)
    size = _size(found, request.size)
    about: dict[str, Any] = {
        "size": list(size) if size else "each clip's own",
        "batch": request.batch,
        "device": device.type,
        "metrics": list(metrics),
        "methods": described(found, request.weights),
        "detectors": detectors,
        "inception": {"sha256": inception.digest} if inception is not None else None,
        "lpips": {"backbone": "alexnet", "sha256": lpips.digest} if lpips is not None else None,
    }
    measures = Measures(metrics, lpips)
    return Setup(found, measures, observers, metrics, size, request.batch, device, inception, about)


def described(found: list[Method], weights: Sequence[str]) -> list[dict[str, Any]]:
    """Each method with what it is made of; networks stand in the order of `weights`, behind the baselines."""
    from fomm_cli.weights.load import resolve

    baselines = len(found) - len(weights)
    entries: list[dict[str, Any]] = [{"name": method.name} for method in found[:baselines]]
    for method, spelled in zip(found[baselines:], weights, strict=True):
        entries.append({"name": method.name, "weights": spelled, "sha256": disk.sha256(resolve(spelled))})
    return entries


def _networks(request: Request, metrics: Sequence[str], device: torch.device, say: Say) -> tuple[Any, Inception | None]:
    """LPIPS and FID's network, each None where no metric needs it."""
    sources = {METRICS[name].source for name in metrics}
    lpips = inception = None
    if "lpips" in sources:
        from fomm_cli.evaluate.lpips import load

        lpips = load(request.lpips, device, say)
    if "features" in sources:
        from fomm_cli.evaluate import frechet

        inception = frechet.load(request.inception, device, say)
    return lpips, inception


def _observers(
    request: Request, metrics: Sequence[str], device: torch.device, say: Say
) -> tuple[Observers, dict[str, Any] | None]:
    # The suites know their points as AKD and MKR, which go together, and their embedding as AED.
    serves = {"points": "akd", "embedding": "aed"}
    sources = [METRICS[name].source for name in metrics]
    wanted = tuple(metric for source, metric in serves.items() if source in sources)
    if not wanted:
        return Observers(), None
    from fomm_cli.detectors.choice import SUITES, build

    chosen = build(request.detectors, wanted, dict(request.networks), str(device), say)
    suite = SUITES[request.detectors]
    used = {part.name: part.digest for part in (chosen.points, chosen.embedding) if part is not None}
    about = {"name": suite.name, "sha256": used, "licence": suite.licence, "source": suite.source}
    return Observers(chosen.points, chosen.embedding), about


def _size(found: list[Method], side: int | None) -> tuple[int, int] | None:
    if side is not None:
        return side, side
    sizes = {method.name: method.size for method in found if method.size is not None}
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{name} {size[0]}x{size[1]}" for name, size in sizes.items())
        raise FommError(f"These weights work at different sizes: {each}.", "Choose the size of the frames with --size.")
    return next(iter(sizes.values()), None)

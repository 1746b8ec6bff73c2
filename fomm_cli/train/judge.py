"""What a validation measures: what was asked for, as far as its networks are here. It downloads none."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

import torch

from fomm_cli.detectors.choice import SUITES, available, build
from fomm_cli.detectors.networks import NETWORKS
from fomm_cli.errors import FommError, nearest
from fomm_cli.evaluate import lpips
from fomm_cli.evaluate.metrics import METRICS, Measures, chosen
from fomm_cli.evaluate.observers import Observers
from fomm_cli.train.run import Options


class Judge(NamedTuple):
    """Metrics by name, and what computes them. `left_out` is a line on those that cannot be, or empty."""

    names: tuple[str, ...]
    measures: Measures
    observers: Observers
    left_out: str = ""


def judge(options: Options, shape: tuple[int, int], device: torch.device) -> Judge:
    """The metrics of `validate_metrics`; L1, by which the best checkpoint is chosen, is always among them.

    shape  (H, W) of the frames
    Raises FommError for a metric or a suite that there is not.
    """
    if options.detectors not in SUITES:
        raise FommError(
            f"There are no detectors called {options.detectors!r}.", nearest(options.detectors, list(SUITES))
        )
    asked = chosen(f"l1,{options.validate_metrics}")
    network, observers = None, Observers()
    lacking: dict[str, str] = {}
    for name in asked:
        metric = METRICS[name]
        reason = ""
        if min(shape) < metric.smallest:
            reason = f"needs frames of {metric.smallest} px"
        elif metric.source == "features":
            reason = "needs whole clips"
        elif metric.source == "lpips":
            reason = _lpips_lacks()
        elif metric.source in ("points", "embedding"):
            reason = _suite_lacks(options.detectors, name)
        if reason:
            lacking[name] = f"{metric.title} ({reason})"
    names = [name for name in asked if name not in lacking]
    try:
        if "lpips" in names:
            network = lpips.load(lpips.ALEXNET.cached, device)
        wanted = tuple(name for name in ("akd", "mkr", "aed") if name in names)
        if wanted:
            files = {key: NETWORKS[key].cached for key in _networks(options.detectors, wanted)}
            observers = Observers(*build(options.detectors, wanted, files, str(device)))
    except FommError as error:  # a damaged file must not cost the training
        raise FommError(
            f"Validation: {error.what}", f"{error.hint} Or leave it out: --validate-metrics l1,psnr."
        ) from error
    line = ""
    if lacking:
        line = (
            f"Validation leaves out {' and '.join(lacking.values())}. `fomm eval reconstruction --metrics "
            f"{','.join(lacking)}` says how to get what is missing."
        )
    return Judge(tuple(names), Measures(names, network), observers, line)


def _lpips_lacks() -> str:
    if find_spec("lpips") is None:
        return "the package lpips is not installed"
    return "" if lpips.ALEXNET.cached.is_file() else "AlexNet's weights are not here"


def _suite_lacks(name: str, metric: str) -> str:
    suite = SUITES[name]
    if metric not in suite.metrics:
        return f"the detectors {name} do not measure it"
    if not available(suite):
        return f"{suite.package} is not installed"
    absent = [key for key in _networks(name, (metric,)) if not NETWORKS[key].cached.is_file()]
    return f"{', '.join(absent)} not here" if absent else ""


def _networks(name: str, wanted: tuple[str, ...]) -> list[str]:
    return [key for key in SUITES[name].networks if NETWORKS[key].serves in ("", *wanted)]

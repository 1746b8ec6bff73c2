"""FID: how far the frames of a result are from true frames as a set, in the features of an Inception network.

FID of Heusel et al. 2017 between all driving frames and all frames of a method. Features of every clip are kept beside
its record, so that a resumed or shared evaluation needs none of them twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fomm_cli.errors import FommError
from fomm_cli.evaluate.records import Record, Store
from fomm_cli.files import disk
from fomm_cli.files.torch_file import read_tensors

TRUTH = "driving frames"
SIZE = 2048
"""Features of the Inception network; as many frames at least, or the covariance is not determined."""


class Inception:
    """Turns frames into features.

    network  a torch module called with uint8 (B, 3, H, W) and returning (B, D)
    """

    def __init__(self, network: Any, device: torch.device, digest: str | None = None) -> None:
        self.network, self.device, self.digest = network, device, digest

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, H, W, 3) to float32 (B, D)."""
        batch = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).contiguous().to(self.device)
        return self.network(batch).float().reshape(len(pixels), -1).cpu().numpy()


def load(path: Path | None, device: torch.device, say: Callable[[str], None] | None = None) -> Inception:
    """torch-fidelity's Inception network, the port of the one that FIDs are published with.

    path  of its weights, `weights-inception-2015-12-05-6726825d.pth`; None lets torch-fidelity fetch them
    """
    if path is not None:
        disk.check_payload(path, "the Inception weights")
    try:
        import torch_fidelity  # noqa: F401
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ImportError:
        hint = 'pip install "fomm-cli[eval]"'
        raise FommError("torch-fidelity, which computes FID's features, is not installed.", hint) from None
    if path is None and say is not None:
        say("FID: torch-fidelity fetches its Inception weights where they are not cached")
    if path is not None:
        read_tensors(
            path, "Inception network", "Download it again."
        )  # before torch-fidelity, which on old versions of torch would run what is in it
    try:
        network = NoTrainInceptionV3("inception-v3-compat", [str(SIZE)], str(path) if path else None)
    except (OSError, RuntimeError) as error:
        hint = "Download weights-inception-2015-12-05-6726825d.pth from torch-fidelity's releases: --fid-weights FILE."
        raise FommError(f"FID's Inception network could not be loaded: {error}.", hint) from error
    return Inception(network.to(device), device, disk.sha256(path) if path else None)


class Shelf:
    """Features of one clip, column by column, as they come."""

    def __init__(self, network: Inception) -> None:
        self.network = network
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, column: str, pixels: np.ndarray) -> None:
        self._parts.setdefault(column, []).append(self.network(pixels))

    def arrays(self) -> dict[str, np.ndarray]:
        """Column -> (frames, D)."""
        return {column: np.concatenate(parts) for column, parts in self._parts.items()}


class Cloud:
    """Mean and covariance of features, gathered batch by batch."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Any = 0.0
        self._outer: Any = 0.0

    def add(self, features: np.ndarray) -> None:
        """(B, D)."""
        exact = features.astype(np.float64)
        self.count += len(exact)
        self._sum = self._sum + exact.sum(axis=0)
        self._outer = self._outer + exact.T @ exact

    def distance(self, other: Cloud) -> float | None:
        """|m - m'|^2 + tr(C + C' - 2 sqrt(C C')); None with fewer than two frames or features that are no numbers."""
        if min(self.count, other.count) < 2 or not np.isfinite(self._outer + other._outer).all():
            return None
        (m, c), (n, d) = self._moments(), other._moments()
        values, vectors = np.linalg.eigh(c)
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        # The trace of sqrt(C C') is that of sqrt(R C' R), R = sqrt(C), which is symmetric.
        shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ d @ root), 0)).sum()
        found = float(max(0.0, (m - n) @ (m - n) + np.trace(c) + np.trace(d) - 2 * shared))
        return found if np.isfinite(found) else None

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        mean = self._sum / self.count
        return mean, (self._outer - self.count * np.outer(mean, mean)) / (self.count - 1)


def complete(report: dict[str, Any], records: Sequence[Record], store: Store) -> None:
    """Put the FID of every column into a report, from the features that the store kept of each clip."""
    clouds = {column: Cloud() for column in (TRUTH, *report["results"])}
    for record in records:
        if record.skipped is None:
            features = store.features(record.name)
            for column, cloud in clouds.items():
                cloud.add(features[column])
    for column, found in report["results"].items():
        value = clouds[column].distance(clouds[TRUTH])
        found["fid"] = {"value": value, "interval": None, "over": "frames", "count": clouds[column].count}
    if clouds[TRUTH].count < SIZE:
        report["notes"].append(
            f"FID of {clouds[TRUTH].count} frames: below {SIZE} it is biased upwards, and comparable only with FIDs "
            "of the same frames."
        )

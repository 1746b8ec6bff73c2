"""Reconstruction: the first frame of a clip as source, driven by all its frames, against those frames.

Every frame counts, the first included, as in the published evaluation.
"""

from __future__ import annotations

import torch

from fomm_cli.data.clips import ClipRef
from fomm_cli.evaluate.frechet import TRUTH, Shelf
from fomm_cli.evaluate.measures import Measures
from fomm_cli.evaluate.methods import Method
from fomm_cli.evaluate.observers import Observers
from fomm_cli.evaluate.reading import batches, opened
from fomm_cli.evaluate.records import Record, Tally
from fomm_cli.model.pixels import to_frames


def measure(
    ref: ClipRef,
    digest: str,
    methods: list[Method],
    measures: Measures,
    observers: Observers,
    size: tuple[int, int] | None,
    batch: int,
    device: torch.device,
    shelf: Shelf | None = None,
) -> Record:
    """All methods on one clip. Raises FommError where the clip cannot be read.

    size   (H, W) of the evaluation; None takes the clip's own
    shelf  takes the features of all frames, where FID is asked for
    """
    clip = opened(ref)
    try:
        record = Record(ref.name, digest, resized=size is not None and tuple(clip.size) != tuple(size))
        record.tallies = {method.name: Tally() for method in methods}
        performances = None
        for pixels, driving in batches(clip, size, batch, device):
            if performances is None:
                source = driving[:1].clone()
                performances = [method.start(source, source, "reconstruction") for method in methods]
            seen = observers.look(pixels)
            if shelf is not None:
                shelf.add(TRUTH, pixels)
            for method, perform in zip(methods, performances, strict=True):
                tally = record.tallies[method.name]
                prediction = perform(driving).prediction
                measures.add(tally, prediction, driving)
                if observers or shelf is not None:
                    made = to_frames(prediction)
                    observers.compare(tally, seen, observers.look(made), (pixels.shape[1], pixels.shape[2]))
                    if shelf is not None:
                        shelf.add(method.name, made)
            record.frames += len(pixels)
        return record
    finally:
        clip.close()

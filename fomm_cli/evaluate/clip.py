"""One clip rebuilt from its first frame: written, and measured before it is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fomm_cli.data.clips import IMAGES, find_clip
from fomm_cli.errors import FommError
from fomm_cli.evaluate.measures import Measures
from fomm_cli.evaluate.methods import Method
from fomm_cli.evaluate.records import Tally
from fomm_cli.evaluate.sheets import error_map
from fomm_cli.media.image import fit
from fomm_cli.media.video import VideoWriter, probe, read_timed
from fomm_cli.model.pixels import to_frames, to_tensor

LAYOUTS = ("result", "side-by-side")
STILL_RATE = Fraction(10)
"""Frames a second of what has no rate of its own: film strips and packed clips."""


class Rebuilt(NamedTuple):
    """What came out of one clip."""

    frames: int
    tally: Tally


def reconstruct(
    path: Path,
    output: Path,
    method: Method,
    measures: Measures,
    size: tuple[int, int],
    layout: str = "result",
    crf: int = 18,
    batch: int = 8,
    device: torch.device | None = None,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Rebuilt:
    """Drive the first frame by all frames and write the result, in the clip's own time and with its sound.

    size    (H, W) the method works at: frames are cropped around their centre and resized
    layout  result; side-by-side: the clip, the result and where it errs
    """
    place = device or torch.device("cpu")
    frames, rate, sound, tick = _open(path)
    tally, count, perform = Tally(), 0, None
    with VideoWriter(output, rate, crf=crf, audio_from=sound, force=force, time_base=tick) as writer:
        while chunk := list(islice(frames, batch)):
            pixels = np.stack([fit(frame, size) for frame, _ in chunk])
            driving = to_tensor(pixels, place)
            if perform is None:
                perform = method.start(driving[:1].clone(), driving[:1].clone(), "reconstruction")
            prediction = perform(driving).prediction
            measures.add(tally, prediction, driving)
            for (_, time), true, made in zip(chunk, pixels, to_frames(prediction), strict=True):
                writer.write(_laid_out(true, made, layout), time)
            count += len(chunk)
            if progress is not None:
                progress(count)
        if count < 2:
            raise FommError(f"{path} has a single frame: there is no motion to rebuild.", "Give a video.")
    return Rebuilt(count, tally)


def _laid_out(true: np.ndarray, made: np.ndarray, layout: str) -> np.ndarray:
    return made if layout == "result" else np.concatenate([true, made, error_map(made, true)], axis=1)


Opened = tuple[Iterator[tuple[np.ndarray, Fraction | None]], Fraction, Path | None, Fraction | None]


def _open(path: Path) -> Opened:
    """Frames with their times, the rate, where sound is to be had, and the ticks of the clip's clock."""
    if not path.exists():
        raise FommError(f"{path} does not exist.", "Check the path.")
    ref = find_clip(path)
    if ref is not None and (ref.kind in ("strip", "packed") or path.suffix.lower() in IMAGES):
        clip = ref.open()
        return ((frame, None) for frame in clip.frames(range(len(clip)))), STILL_RATE, None, None
    info = probe(path)
    return iter(read_timed(path)), info.rate, path if info.has_audio else None, info.time_base

"""`fomm reconstruct`: one clip rebuilt from its first frame, written, and measured before it is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from fomm_cli import device as devices
from fomm_cli.data.clips import IMAGES, find_clip
from fomm_cli.errors import FommError
from fomm_cli.evaluate.methods import Method, methods
from fomm_cli.evaluate.metrics import METRICS, Measures, defaults
from fomm_cli.evaluate.records import Tally
from fomm_cli.evaluate.sheets import error_map
from fomm_cli.files.disk import check_distinct
from fomm_cli.media.image import fit
from fomm_cli.media.video import VideoWriter, probe, read_timed
from fomm_cli.model.pixels import to_frames, to_tensor

Layout = Literal["result", "side-by-side"]
STILL_RATE = Fraction(10)
"""Frames a second of what has no rate of its own: film strips and packed clips."""


class Rebuilt(NamedTuple):
    """What came out of one clip.

    output   the file or folder that was written
    weights  their name
    numbers  metric -> value, None where nothing differs or something is not a number
    """

    output: Path
    weights: str
    frames: int
    numbers: dict[str, float | None]


def reconstruct(
    clip: str | Path,
    output: str | Path,
    weights: str | Method,
    layout: Layout = "side-by-side",
    crf: int = 18,
    batch: int = 8,
    device: str = "auto",
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Rebuilt:
    """Drive the first frame of a clip by all its frames; write the result in the clip's own time, with its sound.

    clip     a video, GIF, folder of frames, film strip or packed clip; frames are fitted to the size of the weights
    output   a video, or without a suffix a folder of png
    weights  a name or a path, or a method that is loaded already
    layout   result; side-by-side: the clip, the result and where it errs
    Raises FommError: no such clip or weights, a clip of a single frame, an output that is there already or is the clip.
    """
    path, made = Path(clip), Path(output)
    check_distinct(made, path)
    resolved = devices.resolve(device)
    method = methods([weights], [], str(resolved))[0] if isinstance(weights, str) else weights
    assert method.size is not None
    names = defaults("reconstruction")
    measures, tally, count, perform = Measures(names), Tally(), 0, None
    frames, rate, sound, tick = _open(path)
    with VideoWriter(made, rate, crf=crf, audio_from=sound, force=force, time_base=tick) as writer:
        while chunk := list(islice(frames, batch)):
            pixels = np.stack([fit(frame, method.size) for frame, _, _ in chunk])
            driving = to_tensor(pixels, resolved)
            if perform is None:
                source = driving[:1].clone()
                perform = method.start(source, source, "reconstruction")
            prediction = perform(driving).prediction
            measures.add(tally, prediction, driving)
            for (_, time, lasts), true, frame in zip(chunk, pixels, to_frames(prediction), strict=True):
                writer.write(_laid_out(true, frame, layout), time, lasts)
            count += len(chunk)
            if progress is not None:
                progress(count)
        if count < 2:
            raise FommError(f"{path} has a single frame: there is no motion to rebuild.", "Give a video.")
    return Rebuilt(made, method.name, count, {name: METRICS[name].value(tally) for name in names})


def _laid_out(true: np.ndarray, made: np.ndarray, layout: Layout) -> np.ndarray:
    return made if layout == "result" else np.concatenate([true, made, error_map(made, true)], axis=1)


Moments = Iterator[tuple[np.ndarray, Fraction | None, Fraction | None]]
Opened = tuple[Moments, Fraction, Path | None, Fraction | None]


def _open(path: Path) -> Opened:
    """Frames with their times and lengths, the rate, where sound is to be had, and the ticks of the clip's clock."""
    if not path.exists():
        raise FommError(f"{path} does not exist.", "Check the path.")
    ref = find_clip(path)
    if ref is not None and (ref.kind in ("strip", "packed") or path.suffix.lower() in IMAGES):
        clip = ref.open()
        return ((frame, None, None) for frame in clip.frames(range(len(clip)))), STILL_RATE, None, None
    info = probe(path)
    return iter(read_timed(path)), info.rate, path if info.has_audio else None, info.time_base

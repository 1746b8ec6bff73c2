"""The sound of a loop: a stretch of a clip's sound that goes on, without a click, where it begins."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from fomm_cli.media.sound import Sound

FADE = Fraction(1, 20)
"""Seconds over which the begin of a loop comes out of what follows its end."""

_LEAD = Fraction(1, 10)
"""Seconds that are read before the stretch and after it: sound comes in blocks, which are taken whole or not at all."""

Samples = NDArray[np.int16]


def write_loop(
    target: Path, path: Path, begin: Fraction, end: Fraction, back: bool = False, track: int | None = None
) -> None:
    """Write the sound of `path` from `begin` to `end`, in its own seconds, as a WAV that may be played over and over.

    target  without suffix .pcm, under which samples are kept beside it
    back    it then runs back to its begin, as the picture does; else it begins with `FADE` of what follows the end,
            faded over into its own
    track   as of `VideoWriter`
    The file holds nothing where nothing can be decoded. Memory does not grow with the length.
    """
    decoded, rate, channels, first = target.with_suffix(".pcm"), 48_000, 1, 0
    sound = Sound.open(path, ".wav", track, begin - _LEAD, end + _LEAD)
    if sound is not None:
        with av.open(str(decoded.absolute()), "w", format="s16le") as container:
            sound.attach(container)
            sound.pump(None)
            made = container.streams.audio[0].codec_context
            rate, channels, first = made.rate, made.channels, sound.first
        sound.close()
    some = decoded.exists() and decoded.stat().st_size > 0
    kept: Any = np.memmap(decoded, np.int16, "r").reshape(-1, channels) if some else np.zeros((0, channels), np.int16)
    lead, length = round(_LEAD * rate) - first, round((end - begin) * rate)
    blocks = _blocks(kept, lead, length, rate, back) if some else iter(())
    with av.open(str(target.absolute()), "w", format="wav", container_options={"rf64": "auto"}) as container:
        layout = "mono" if channels == 1 else "stereo"
        stream: Any = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        container.start_encoding()
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout=layout)
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _blocks(kept: Any, begin: int, length: int, rate: int, back: bool) -> Iterator[Samples]:
    """Samples (n, channels) of the loop, at most a second at a time."""

    def heard(first: int, last: int) -> Samples:
        """Samples of the stretch; silence where the clip has none."""
        block = np.zeros((last - first, kept.shape[1]), np.int16)
        low, high = max(first + begin, 0), min(last + begin, len(kept))
        if low < high:
            block[low - begin - first : high - begin - first] = kept[low:high]
        return block

    start = 0
    if not back:
        start = min(round(FADE * rate), length)
        own = ((1 + np.arange(start)) / (start + 1))[:, None]
        yield np.rint(own * heard(0, start) + (1 - own) * heard(length, length + start)).astype(np.int16)
    for first in range(start, length, rate):
        yield heard(first, min(first + rate, length))
    for last in range(length, 0, -rate) if back else ():
        yield np.ascontiguousarray(heard(max(last - rate, 0), last)[::-1])

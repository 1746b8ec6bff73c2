"""Animated WebP and PNG as they are written here: what stands in them, when it is shown, how little is stored."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fomm_cli.boxes import Box
from fomm_cli.errors import FommError
from fomm_cli.media.animated import changed
from fomm_cli.media.video import VideoWriter, probe, read_timed

TIMES = [Fraction(0), Fraction(1, 30), Fraction(2, 30), Fraction(1, 2)]


def moving(count: int = 4) -> list[np.ndarray]:
    """A square that moves by odd steps over a picture that stays."""
    y, x = np.mgrid[:61, :83]
    still = np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)
    frames = [still.copy() for _ in range(count)]
    for number, frame in enumerate(frames):
        frame[21:34, 7 + 5 * number : 20 + 5 * number] = (250, 40 * number, 20)
    return frames


@pytest.mark.parametrize("name", ["o.webp", "o.apng"])
def test_frames_come_back_at_their_times(tmp_path: Path, name: str) -> None:
    frames = moving()
    with VideoWriter(tmp_path / name, Fraction(30)) as writer:
        for frame, time in zip(frames, TIMES, strict=True):
            writer.write(frame, time, Fraction(1, 4))
    read = list(read_timed(tmp_path / name))
    assert len(read) == 4
    for (frame, time, _), wanted, at in zip(read, frames, TIMES, strict=True):
        assert abs(time - at) < Fraction(1, 500)
        apart = np.abs(frame.astype(int) - wanted)
        assert apart.max() == 0 if name == "o.apng" else apart.mean() < 2.5
    assert abs(read[-1].lasts - Fraction(1, 4)) < Fraction(1, 500)  # the last one lasts as long as it should
    info = probe(tmp_path / name)
    assert (info.frames, info.width, info.height) == (4, 83, 61)


@pytest.mark.parametrize("name", ["o.webp", "o.apng"])
def test_what_stays_is_stored_once(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    sizes = []
    for count in (1, 20):
        path = tmp_path / f"{count}{name}"
        with VideoWriter(path, Fraction(25)) as writer:
            for number in range(count):
                frame = noise.copy()
                frame[40:44, 40:44] = number
                writer.write(frame)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 1.5 * sizes[0]


def test_where_two_frames_differ() -> None:
    before = np.zeros((20, 30, 3), np.uint8)
    after = before.copy()
    assert changed(None, after) == Box(0, 0, 30, 20)
    assert changed(before, after) == Box(0, 0, 1, 1)
    after[5:8, 11:15, 2] = 1
    assert changed(before, after) == Box(11, 5, 4, 3)
    assert changed(before, after, even=True) == Box(10, 4, 5, 4)


def test_too_large(tmp_path: Path) -> None:
    with (
        pytest.raises(FommError, match=r"20000 x 2 pixels are too large for \.webp"),
        VideoWriter(tmp_path / "a.webp", Fraction(25)) as writer,
    ):
        writer.write(np.zeros((2, 20000, 3), np.uint8))
    assert not list(tmp_path.iterdir())

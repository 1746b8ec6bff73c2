"""The bundled samples: a portrait, and somebody else talking. `python -m fomm_cli.data.toon.demo DIR` redraws them.

Both people are held out: no training on the set has met them.
"""

from __future__ import annotations

import sys
import tempfile
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from fomm_cli.data.toon.drawing import draw
from fomm_cli.data.toon.person import sample_identity
from fomm_cli.data.toon.trajectories import Motion, neutral, sample_motion
from fomm_cli.model.pixels import to_frames

SEED = 2026
PORTRAIT, DRIVER, TRAJECTORY = 3, 6, 1228
RATE = Fraction(25)
_SOUND_RATE = 22_050


def demo_assets(out: str | Path, seconds: float = 5.0, force: bool = False) -> tuple[Path, Path]:
    """Writes `portrait.png` (512 px) and `driving.mp4` (256 px, 25 frames a second, with a voice) into `out`."""
    from fomm_cli.media.image import write_image

    out = Path(out)
    portrait, driving = out / "portrait.png", out / "driving.mp4"
    pose = replace(neutral(1), smile=torch.tensor([0.35]), blink=torch.full((1, 2), 0.12))
    picture = draw(sample_identity(SEED, 1, PORTRAIT, held_out=True), pose, 512)
    write_image(portrait, to_frames(picture)[0], force)

    motion = sample_motion(SEED, round(seconds * RATE), 1, TRAJECTORY, float(RATE), held_out=True)[0]
    frames = to_frames(draw(sample_identity(SEED, 1, DRIVER, held_out=True), motion, 256))
    write_talk(driving, frames, motion, RATE, force)
    return portrait, driving


def write_talk(path: Path, frames: np.ndarray, motion: Motion, rate: Fraction, force: bool = False) -> None:
    """A clip of frames, uint8 (N, H, W, 3), with the voice of what their head does."""
    from fomm_cli.media.video import VideoWriter

    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "voice.wav"
        _write_wave(sound, voice(motion, float(rate)))
        with VideoWriter(path, rate, crf=20, audio_from=sound, force=force) as writer:
            for frame in frames:
                writer.write(frame)


def voice(motion: Motion, rate: float) -> np.ndarray:
    """A soft babble that is as loud as the mouth is open: float (samples,) in [-1, 1] at 22,050 Hz.

    A glottal buzz with a wandering pitch through two formants: the first rises as the mouth opens, the second falls as
    the lips are rounded.
    """
    count = round(len(motion) / rate * _SOUND_RATE)
    time = np.arange(count) / _SOUND_RATE
    at = np.arange(len(motion)) / rate
    opened = np.interp(time, at, motion.open.numpy())
    rounded = np.interp(time, at, motion.pucker.numpy())
    raised = np.interp(time, at, motion.brow.numpy())
    pitch = 175 * 2 ** (0.18 * np.sin(2 * np.pi * 0.7 * time) + 0.25 * raised + 0.15 * opened)
    phase = 2 * np.pi * np.cumsum(pitch) / _SOUND_RATE
    first, second = 300 + 500 * opened, 1900 - 900 * rounded
    tone = np.zeros(count)
    for harmonic in range(1, 19):
        frequency = harmonic * pitch
        gain = 1 / (1 + ((frequency - first) / 130) ** 2) + 0.35 / (1 + ((frequency - second) / 180) ** 2)
        tone += (gain + 0.02) / harmonic**0.5 * np.sin(harmonic * phase)
    loudness = np.clip(opened * 1.3 - 0.05, 0, 1)
    smooth = np.hanning(round(0.02 * _SOUND_RATE))
    loudness = np.convolve(loudness, smooth / smooth.sum(), mode="same")
    sound = tone * loudness
    return 0.35 * sound / max(float(np.abs(sound).max()), 1e-9)


def _write_wave(path: Path, sound: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SOUND_RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    demo_assets(sys.argv[1] if len(sys.argv) > 1 else ".", force=True)

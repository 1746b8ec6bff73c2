"""The bundled samples: a portrait, and somebody else talking. `python -m fomm_cli.data.toon.demo DIR` redraws them.

And clips of three movements, of which `fomm motion extract NAME.mp4 --private -o WEIGHTS-NAME.motion.safetensors` makes
the bundled motions of some weights. Nobody in them has been met by training on the set.
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


def movements(frames: int = 50) -> dict[str, Motion]:
    """A nod, a look to both sides and a smile that raises the brows; each ends as it began, at rest."""
    time = torch.linspace(0, 1, frames)
    rise, wave = (torch.pi * time).sin() ** 2, (2 * torch.pi * time).sin()
    rest, zero = neutral(frames), torch.zeros(frames)
    shut = torch.exp(-(((time - 0.5) / 0.04) ** 2))
    return {
        "nod": replace(rest, pitch=0.34 * rise * (4 * torch.pi * time).sin(), blink=torch.stack([shut, shut], dim=1)),
        "look": replace(rest, yaw=0.42 * wave * rise.sqrt(), roll=0.05 * wave, gaze=torch.stack([0.8 * wave, zero], 1)),
        "smile": replace(rest, smile=0.9 * rise, brow=0.8 * rise, open=0.35 * rise**2, roll=0.09 * rise),
    }


def demo_movements(out: str | Path, force: bool = False) -> list[Path]:
    """Writes a clip of each of `movements` (256 px, 25 frames a second, silent) into `out`."""
    from fomm_cli.media.video import VideoWriter

    person = sample_identity(SEED, 1, DRIVER, held_out=True)
    paths = []
    for name, motion in movements().items():
        paths.append(Path(out) / f"{name}.mp4")
        with VideoWriter(paths[-1], RATE, crf=12, force=force) as writer:
            for frame in to_frames(draw(person, motion, 256)):
                writer.write(frame)
    return paths


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
    target = sys.argv[1] if len(sys.argv) > 1 else "."
    demo_assets(target, force=True)
    demo_movements(target, force=True)

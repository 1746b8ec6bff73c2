"""The motion of a clip, to be kept: with its origin, its mirror and, if wanted, its sound."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from fomm_cli.animate.driving import Clip
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.settings import Progress
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media.sound import Sound
from fomm_cli.model.families import family_of
from fomm_cli.motion.mirror import partners
from fomm_cli.motion.motion import Motion

SEEN = 16
"""Frames that are mirrored to find out which points are left and right."""


def extract(
    clip: Clip,
    runner: Runner,
    progress: Progress,
    anchor: int | None = None,
    audio: str = "none",
    private: bool = False,
) -> Motion:
    """The motion of a clip as a file keeps it.

    anchor   a frame to be held to as the one that others are relative to
    audio    none; embed: the sound itself; reference: the clip's name and hash, to be found beside the motion file
    private  movement alone, relative to the anchor (else the first frame): the shape of the head is not kept
    """
    motion = clip.motion(runner, progress)
    if anchor is not None and not 0 <= anchor < len(motion):
        raise FommError(f"There is no frame {anchor} in {clip.path}: it has {len(motion)}.", "Frames count from 0.")
    partner, residual = _mirror(clip, runner, len(motion))
    notes = {"fomm.crop": json.dumps({"box": clip.box, "size": [clip.info.height, clip.info.width]})}
    if audio == "reference" and clip.has_sound:
        notes["fomm.audio"] = json.dumps({"name": clip.path.name, "sha256": disk.sha256(clip.path)})
    motion = replace(
        motion,
        anchor=anchor,
        partner=partner,
        residual=residual,
        notes=notes,
        sound=_sound(clip.path) if audio == "embed" and clip.has_sound else None,
    )
    if not private:
        return motion
    space = motion.space()
    bare = family_of(motion.family).space(space.neutral).poses(space.channels(motion.poses))
    return replace(motion, poses=bare, relative=True)


def _mirror(clip: Clip, runner: Runner, count: int) -> tuple[tuple[int, ...], float]:
    wanted = set(np.linspace(0, count - 1, SEEN).round().astype(int).tolist())
    frames = [frame for row, (frame, _, _) in enumerate(clip.read()) if row in wanted]
    seen = runner.detect(frames)
    mirrored = runner.detect(np.ascontiguousarray(frame[:, ::-1]) for frame in frames)
    return partners(seen[0][..., :2], mirrored[0][..., :2])


def _sound(path: Path) -> bytes | None:
    """The sound of a clip in a file of its own, copied where it can be; its times stay the clip's."""
    sound = Sound.open(path, ".mp4")
    if sound is None:
        return None
    with tempfile.TemporaryDirectory(prefix="fomm-") as folder:
        target = Path(folder) / "sound.m4a"
        try:
            with av.open(str(target), "w", format="mp4") as container:
                sound.attach(container)
                sound.pump(None)
        finally:
            sound.close()
        return target.read_bytes()

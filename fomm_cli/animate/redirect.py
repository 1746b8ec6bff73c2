"""From clip and clip to clip: the people of a source clip move as the driving does, and stay in their picture."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.animate.crops import crop_box, portrait_finder
from fomm_cli.animate.driving import Driving
from fomm_cli.animate.marking import mark_of
from fomm_cli.animate.openness import held, openness_finder
from fomm_cli.animate.role import far, steer_for
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.settings import Output, Paste, Progress, Report, Settings
from fomm_cli.animate.stream import threaded
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.media import affine
from fomm_cli.media.badge import badged
from fomm_cli.media.image import Frame, fit
from fomm_cli.media.signing import Signer
from fomm_cli.media.video import Timed, VideoWriter, probe, read_timed
from fomm_cli.model.family import Family
from fomm_cli.model.pose import joined, pick
from fomm_cli.motion.motion import check_fit

BORDER, FADE = 1 / 32, 1 / 32
"""Shares of the crop's side: from here on it fades into the picture, over so much."""


class Cutter:
    """Where the face is in each frame of a clip; where it is lost for a while, where it was last."""

    def __init__(self, path: Path, engine: Engine, crop: str, detector: Path | None) -> None:
        self.path, self.engine, self.crop, self.detector = path, engine, crop, detector
        self._find = portrait_finder(detector) if crop == "portrait" else None
        self._last: affine.Matrix | None = None

    def matrix(self, frame: Frame) -> affine.Matrix:
        """Positions in the frame to positions in a result."""
        size, result = self.engine.size, self.engine.output_size
        if self._find is not None:
            found = self._find(frame)
            self._last = self._last if found is None else found.matrix(result[0])
        elif self._last is None:
            extent = (frame.shape[0], frame.shape[1])
            self._last = affine.box_matrix(crop_box(self.crop, extent, size[1] / size[0], frame, self.detector), result)
        if self._last is None:
            raise FommError(f"The first frame of {self.path} shows no face.", "Cut the clip to where it does.")
        return self._last

    def cut(self, frame: Frame, matrix: affine.Matrix) -> Frame:
        """What the network sees of a frame."""
        return fit(affine.crop(frame, matrix, self.engine.output_size), self.engine.size)


def redirect_clip(
    runner: Runner,
    family: Family,
    source: Path,
    crop: str,
    driving: Driving,
    outputs: list[Output],
    settings: Settings,
    progress: Progress,
) -> Report:
    """The source clip with its head moved as the driving moves, put back into each frame.

    As long as the shorter of the two; as the source where the driving is a picture.
    """
    _check_asked(outputs, settings)
    begun, engine, count = time.perf_counter(), runner.engine, 0
    info = probe(source)
    motion = driving.motion(runner, progress)
    cutter = Cutter(source, engine, crop, settings.face_detector)
    still = len(motion) == 1
    poses, matrices = _look(runner, family, cutter, source, None if still else len(motion), progress)
    first = pick(poses, slice(1))
    warnings = check_fit(motion, family.name, first, engine.detector, settings.force_motion)
    anchor, steered = steer_for(first, motion, settings)
    warnings += [*far(anchor), *driving.warnings, *steered.warnings]
    initial = steered.anchor
    if initial is not None and still:
        initial = family.resting(initial, clip=True)
    driven = pick(steered.motion.poses, slice(0, len(matrices)))
    moved = family.redirect(poses, driven, initial, settings.carrying[0])
    side = engine.output_size[0]
    mask = affine.border_mask(side, max(1, round(BORDER * side)), max(1, round(FADE * side)))
    mark = mark_of(engine, source, [driving.path], settings)
    signer = Signer(*settings.sign) if settings.sign is not None and mark is not None else None
    with contextlib.ExitStack() as stack:
        sound, begin = (source, Fraction(0)) if info.has_audio else (None, Fraction(0))
        if driving.has_sound:
            sound, begin = stack.enter_context(driving.sound())
        writers = [
            stack.enter_context(
                VideoWriter(
                    path,
                    info.rate,
                    crf=settings.crf,
                    audio_from=sound if settings.audio == "driving" else None,
                    force=settings.force,
                    time_base=info.time_base,
                    span=(begin, None),
                    mark=mark,
                    signer=signer,
                )
            )
            for path, _ in outputs
        ]
        for count, (frame, at, lasts) in enumerate(islice(_frames(source), len(matrices)), 1):
            row = slice(count - 1, count)
            matrix = matrices[count - 1]
            pose = pick(poses, row)
            cut = cutter.cut(frame, matrix)
            settled = family.settle(engine, pose, pick(moved, row))
            picture = engine.render(engine.encode(cut), pose, settled)[0]
            result = affine.Paste(matrix, mask, frame.shape[:2])(frame, picture)
            if settings.badge is not None:
                result = badged(result, settings.badge)
            for writer in writers:
                writer.write(result, at, lasts)
            progress("render", count, len(matrices))
    return Report(
        outputs=[Path(path) for path, _ in outputs],
        frames=count,
        size=(info.height, info.width),
        rate=info.rate,
        variable_rate=info.variable_rate,
        has_audio=any(writer.heard for writer in writers),
        crop_source=affine.bounds(matrices[0], engine.output_size),
        crop_driving=driving.box,
        anchor=anchor.index if anchor else None,
        distance=anchor.distance if anchor else None,
        seconds=time.perf_counter() - begun,
        clamped=steered.clamped,
        warnings=warnings,
    )


def _check_asked(outputs: list[Output], settings: Settings) -> None:
    """Refuse what has no meaning for a source clip, whose frames, size and length are its own."""
    if any(layout != "result" for _, layout in outputs):
        raise FommError("A source clip has no other layout than result.", "Leave out --layout.")
    refused = {
        "--loop": settings.controls.loop != "none",
        "--size": settings.size is not None,
        "--max-size": settings.max_size is not None,
        "--detail": settings.detail != 1,
        "--background": settings.background != "keep",
        "--mask": settings.mask is not None,
        "--matte": settings.matte is not None,
        "--crop-json": settings.crop_json is not None,
        "--face, --drive, --extend, --pin, --feather, --colour-match": settings.paste not in (None, Paste()),
    }
    for options, asked in refused.items():
        if asked:
            raise FommError(f"A source clip takes no {options}: its pictures stay as they are.", "Leave it out.")


def _look(
    runner: Runner, family: Family, cutter: Cutter, source: Path, most: int | None, progress: Progress
) -> tuple[Any, list[affine.Matrix]]:
    """The pose and the crop of each frame, at most so many; with how open eyes and lips are where the family asks."""
    look = openness_finder(cutter.detector) if family.heeds_openness else None
    found, matrices, openness = [], [], []
    for frame, _, _ in islice(_frames(source), most):
        matrices.append(cutter.matrix(frame))
        cut = cutter.cut(frame, matrices[-1])
        found.append(runner.detect([cut]))
        if look is not None:
            openness.append(look(cut))
        progress("detect", len(matrices), most)
    if not found:
        raise FommError(f"{source} has no frames.", "Export the clip again.")
    poses = joined(found)
    if look is not None:
        poses = family.opened(poses, held(openness, str(source)))
    return poses, [np.asarray(matrix) for matrix in matrices]


def _frames(path: Path) -> Iterator[Timed]:
    with contextlib.closing(threaded(read_timed(path), 4)) as frames:
        yield from frames

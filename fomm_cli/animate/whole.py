"""A whole picture of which parts move: each is drawn by itself and put back; all else stays as it is, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from fomm_cli.animate.compose import Part, looker, rounded
from fomm_cli.animate.crops import crop_box
from fomm_cli.animate.heads import held, seen_heads
from fomm_cli.animate.parts import choose
from fomm_cli.animate.patch import Patch
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene, check_picture, open_picture, open_scene, shrunk, source_crop
from fomm_cli.animate.settings import Paste, Settings
from fomm_cli.animate.subject import MOTION, cut_out
from fomm_cli.boxes import Box, overlap
from fomm_cli.detectors.matte import matte
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.media.cutout import Alpha, bled, read_cutout, resized_alpha
from fomm_cli.media.image import Frame, read_image, resize
from fomm_cli.model.family import Family

MOST = 0.5
"""Intersection over union of two parts from which they are taken for one."""


class Whole:
    """A picture, and the scenes in it that move.

    source  the picture (H, W, 3), which is also what layouts show
    still   the same with its transparency in a fourth channel, where that is known
    faces   the scenes, all of one engine
    size    (H, W) of the frames that come out: the picture's

    Where boxes overlap each place belongs to one of them (see `Patch.part_from`), so that no order of them counts.
    """

    def __init__(self, faces: Sequence[Scene], paste: Paste, warnings: Sequence[str] = ()) -> None:
        self.warnings = list(warnings)
        self.faces = list(faces)
        self.runner, self.source = faces[0].runner, faces[0].picture
        self.size = (self.source.shape[0], self.source.shape[1])
        _check_apart([scene.box for scene in faces])
        self.still = self.source if faces[0].alpha is None else np.dstack([self.source, faces[0].alpha])
        look = looker(self.still)
        self.patches = [Patch(scene, paste, look) for scene in faces]
        for number, patch in enumerate(self.patches):
            patch.part_from([other for other in self.patches if other is not patch])
            if patch.scene.taper is not None:
                which = f" of face {number}" if len(faces) > 1 else ""
                self.warnings += held(patch.scene.head, patch.scene.box, patch.sides, patch.pin, which)

    path: Path | None = None
    how = ""

    @property
    def box(self) -> Box:
        """Of the first part."""
        return self.faces[0].box

    def compose(self, parts: Sequence[Part]) -> Frame:
        """The picture with each part as it was drawn; rounded once, since no two have weight at one place."""
        result = self.still.copy()
        for patch, part in zip(self.patches, parts, strict=True):
            region, source = (picture[patch.rows, patch.columns] for picture in (result, self.still))
            for rows, drawn, weight in patch.strips(part):
                drawn -= source[rows]
                drawn *= weight[..., None]
                drawn += region[rows]
                region[rows] = rounded(drawn)
        return result


Stage = Scene | Whole
"""What is shown: a part of a picture alone, or the whole of it with parts that move."""


def check_stage(engine: Engine, settings: Settings) -> None:
    """Refuse what an engine without a flow cannot do: nothing would hold the borders."""
    paste = settings.paste
    if paste is None or engine.motion_size is not None or engine.family.meets_border:
        return
    if paste.pin is None or paste.pin or settings.detail:
        raise FommError(
            f"{engine.name} gives no flow, by which borders are held and detail is carried along.",
            "Export it again, or put back what it draws as it is: --pin 0 --detail 0.",
        )


def open_stage(
    runner: Runner, path: Path, settings: Settings, family: Family | None = None, clips: bool = False
) -> Stage:
    """The stage of a picture file. With `clips` a video stands for its first frame."""
    family, engine, paste = family or runner.engine.family, runner.engine, settings.paste
    by_motion = settings.matte == MOTION and settings.background != "keep"
    cut = None if settings.background == "keep" or by_motion else _cut(path, settings)
    if paste is None:
        scene = open_scene(
            runner,
            path,
            settings.crop_source,
            settings.face_detector,
            clips,
            family,
            settings.size,
            settings.max_size,
            settings.detail,
            cut,
        )
        if by_motion:
            cut_out([scene], settings.background != "freeze")
        return scene
    picture, alpha = (open_picture(path, clips, settings.max_size), None) if cut is None else cut
    warnings: list[str] = []
    if paste.faces or settings.crop_source == "auto":
        words = paste.faces or ("largest",)
        turned = family.crop == "portrait"
        crops, warnings = choose(picture, path, words, engine, turned, settings.face_detector)
    else:
        extent = (picture.shape[0], picture.shape[1])
        crop, _ = source_crop(runner, picture, path, settings.crop_source, settings.face_detector)
        crops = [crop_box("center", extent, engine.size[1] / engine.size[0]) if crop is None else crop]
    detail, detector = settings.detail, settings.face_detector
    scenes = [Scene(runner, picture, crop, family, None, detail, alpha, detector) for crop in crops]
    heads = seen_heads(picture, [scene.box for scene in scenes], engine, settings.face_detector)
    for scene, head in zip(scenes, heads, strict=True):
        scene.head = head
    if by_motion:
        cut_out(scenes, settings.background != "freeze")
    stage = Whole(scenes, paste, warnings)
    stage.path = path
    return stage


def _cut(path: Path, settings: Settings) -> tuple[Frame, Alpha]:
    if settings.matte is None:
        picture, alpha = read_cutout(path, settings.mask, bleed=settings.background != "freeze")
    else:
        picture = read_image(path)
        alpha = matte(picture, settings.matte)
        picture = picture if settings.background == "freeze" else bled(picture, alpha)
    check_picture(path, picture)
    size = shrunk(picture, settings.max_size)
    return resize(picture, size), resized_alpha(alpha, size)


def _check_apart(boxes: Sequence[Box]) -> None:
    for (one, first), (other, second) in combinations(enumerate(boxes), 2):
        shared = overlap(first.edges, second.edges)
        if shared > MOST:
            raise FommError(
                f"Faces {one} and {other} overlap by {shared:.0%}: {_told(first)} and {_told(second)}.",
                "Name one of them with --face.",
            )


def _told(box: Box) -> str:
    return ",".join(str(number) for number in box)

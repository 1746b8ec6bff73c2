"""A source picture made ready: cut, detected once, and encoded when first it is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.animate.compose import Enlarger
from fomm_cli.animate.crops import crop_box, portrait_matrix
from fomm_cli.animate.runner import Runner, check_frame
from fomm_cli.boxes import Box, center_box
from fomm_cli.errors import FommError
from fomm_cli.media import affine
from fomm_cli.media.image import Frame, fit, read_image
from fomm_cli.media.video import read_frames
from fomm_cli.media.write import MOVIES
from fomm_cli.model.family import Family

NO_FLOW = "Leave the size to the network. An export of an earlier version has it once it is exported again."
_CLIPS = {*MOVIES, ".avi", ".mpg", ".mpeg"}


class Scene:
    """What stays the same for all frames.

    picture  the source as it was given, upright, of any size
    box      the part of it that the network sees; it may reach beyond the picture
    matrix   (2, 3): positions in the picture to positions in a result, for putting results back; turned where the crop
             is
    source   that part, in the network's size
    pose     the source's, a batch of one
    family   of the engine, with the options of this animation
    size     (H, W) of the frames that come out: the network's, or what `sized` made of a word; larger ones show the
             picture itself, moved (see `compose.Enlarger`)
    """

    def __init__(
        self,
        runner: Runner,
        picture: Frame,
        crop: Box | affine.Matrix | None = None,
        family: Family | None = None,
        frames: int | str | None = None,
    ) -> None:
        """crop: a box, the matrix of a turned one, or None = the middle; frames: as `--size`."""
        check_frame(picture)
        size, result = runner.engine.size, runner.engine.output_size
        self.runner = runner
        self.family = family or runner.engine.family
        self.picture = picture
        if isinstance(crop, np.ndarray):
            self.matrix, self.box = crop, affine.bounds(crop, result)
            self.source = fit(affine.crop(picture, crop, result), size)
        else:
            self.box = crop or center_box(picture.shape[0], picture.shape[1], size[1] / size[0])
            self.matrix = affine.box_matrix(self.box, result)
            self.source = fit(picture, size, crop)
        self.pose = runner.detect([self.source])
        self.encoded: Any = None
        self.size = runner.engine.output_size
        self.enlarger: Enlarger | None = None
        if frames is not None:
            self.size = self._sized(frames)
            if self.size != runner.engine.output_size:
                if runner.engine.motion_size is None or isinstance(crop, np.ndarray):
                    raise FommError(f"{runner.engine.name} has no flow to enlarge pictures by.", NO_FLOW)
                self.enlarger = Enlarger(fit(picture, self.size, crop), self.source)

    def _sized(self, size: int | str) -> tuple[int, int]:
        """The network's shape with a shorter side of so many pixels, or as large as the part that it sees."""
        height, width = self.runner.engine.size
        own = min(height, width)
        side = min(self.box.width, self.box.height) if size == "source" else int(size)
        return round(height * max(side, own) / own), round(width * max(side, own) / own)

    def transfer(self, driving: Any, initial: Any, mode: str, adapt_scale: bool) -> Any:
        """Driving poses as the source takes them; `initial`, a batch of one, is the driving's pose for the source's."""
        engine = self.runner.engine
        if mode == "avd":
            moved = engine.disentangle(self.pose, driving)
        else:
            moved = self.family.transfer(self.pose, driving, initial, mode, adapt_scale)
        return self.family.settle(engine, self.pose, moved)

    def render(self, moved: Any) -> Iterator[Frame]:
        """The source in poses made its own by `transfer`: as many frames, in the same order, lazily."""
        if self.encoded is None:
            self.encoded = self.runner.engine.encode(self.source)
        if self.enlarger is None:
            return self.runner.render(self.encoded, self.pose, moved)
        return map(self.enlarger, self.runner.parts(self.encoded, self.pose, moved))


def open_scene(
    runner: Runner,
    path: Path,
    crop_source: str = "center",
    face_detector: Path | None = None,
    clips: bool = False,
    family: Family | None = None,
    size: int | str | None = None,
) -> Scene:
    """The scene of a picture file. With `clips` a video stands for its first frame.

    crop_source   as in `crop_box`; auto: the family's own; portrait: turned with the face
    """
    family = family or runner.engine.family
    crop_source = family.crop if crop_source == "auto" else crop_source
    picture = next(read_frames(path, 0, 1)) if clips and path.suffix.lower() in _CLIPS else read_source(path)
    check_picture(path, picture)
    if crop_source == "center":  # the scene's own way, to fractions of a pixel
        return Scene(runner, picture, family=family, frames=size)
    if crop_source == "portrait":
        return Scene(
            runner, picture, portrait_matrix(picture, path, runner.engine.output_size, face_detector), family, size
        )
    height, width = runner.engine.size
    extent = (picture.shape[0], picture.shape[1])
    return Scene(runner, picture, crop_box(crop_source, extent, width / height, picture, face_detector), family, size)


def check_picture(path: Path, picture: Frame) -> None:
    """Refuse, by the file's name, a picture too small to show anything."""
    try:
        check_frame(picture)
    except FommError as error:
        raise FommError(error.what.replace("The picture", str(path), 1), error.hint) from error


def is_clip(path: Path) -> bool:
    """Whether a path looks like frames after frames rather than a picture."""
    return path.is_dir() or path.suffix.lower() in _CLIPS


def read_source(path: Path) -> Frame:
    try:
        return read_image(path)
    except FommError as error:
        if is_clip(path):
            raise FommError(
                f"The source, {path}, is no picture.", "The picture comes first, the clip second."
            ) from error
        raise

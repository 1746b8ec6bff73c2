"""A source picture made ready: cut, detected once, and encoded when first it is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fomm_cli.animate.crops import crop_box
from fomm_cli.animate.runner import Runner, check_frame
from fomm_cli.boxes import Box, center_box
from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, fit, read_image
from fomm_cli.media.video import read_frames
from fomm_cli.media.write import MOVIES

_CLIPS = {*MOVIES, ".avi", ".mpg", ".mpeg"}


class Scene:
    """What stays the same for all frames.

    picture  the source as it was given, upright, of any size
    box      the part of it that the network sees; it may reach beyond the picture. None = the middle
    source   that part, in the network's size
    pose     the source's, a batch of one
    """

    def __init__(self, runner: Runner, picture: Frame, box: Box | None = None) -> None:
        check_frame(picture)
        height, width = runner.engine.size
        self.runner = runner
        self.picture = picture
        self.box = box or center_box(picture.shape[0], picture.shape[1], width / height)
        self.source = fit(picture, (height, width), box)
        self.pose = runner.detect([self.source])
        self.encoded: Any = None

    def transfer(self, driving: Any, initial: Any, mode: str, adapt_scale: bool) -> Any:
        """Driving poses as the source takes them; `initial`, a batch of one, is the driving's pose for the source's."""
        engine = self.runner.engine
        if mode == "avd":
            moved = engine.disentangle(self.pose, driving)
        else:
            moved = engine.family.transfer(self.pose, driving, initial, mode, adapt_scale)
        return engine.settle(self.pose, moved)

    def render(self, moved: Any) -> Iterator[Frame]:
        """The source in poses made its own by `transfer`: as many frames, in the same order, lazily."""
        if self.encoded is None:
            self.encoded = self.runner.engine.encode(self.source)
        return self.runner.render(self.encoded, self.pose, moved)


def open_scene(
    runner: Runner, path: Path, crop_source: str = "center", face_detector: Path | None = None, clips: bool = False
) -> Scene:
    """The scene of a picture file; `crop_source` as in `crop_box`. With `clips` a video stands for its first frame."""
    picture = next(read_frames(path, 0, 1)) if clips and path.suffix.lower() in _CLIPS else _read_source(path)
    check_picture(path, picture)
    if crop_source == "center":  # the scene's own way, to fractions of a pixel
        return Scene(runner, picture)
    height, width = runner.engine.size
    extent = (picture.shape[0], picture.shape[1])
    return Scene(runner, picture, crop_box(crop_source, extent, width / height, picture, face_detector))


def check_picture(path: Path, picture: Frame) -> None:
    """Refuse, by the file's name, a picture too small to show anything."""
    try:
        check_frame(picture)
    except FommError as error:
        raise FommError(error.what.replace("The picture", str(path), 1), error.hint) from error


def _read_source(path: Path) -> Frame:
    try:
        return read_image(path)
    except FommError as error:
        if path.is_dir() or path.suffix.lower() in _CLIPS:
            raise FommError(
                f"The source, {path}, is no picture.", "The picture comes first, the clip second."
            ) from error
        raise

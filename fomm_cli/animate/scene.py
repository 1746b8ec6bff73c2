"""A source picture made ready: cut, detected once, and encoded when first it is rendered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.animate import crops
from fomm_cli.animate.compose import Enlarger, Map, Part
from fomm_cli.animate.heads import seen_heads
from fomm_cli.animate.openness import held, openness_finder
from fomm_cli.animate.runner import Runner, check_frame
from fomm_cli.boxes import Box, Edges, center_box
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.media import affine
from fomm_cli.media.cutout import Alpha
from fomm_cli.media.image import Frame, fit, read_image, resize
from fomm_cli.media.video import read_frames
from fomm_cli.media.write import MOVIES
from fomm_cli.model.family import Family

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
    taper    (h, w) of the engine's `motion_size`: how freely each place moves; None = all of it
    rest     what the network drew of the source in its own pose, where `needs_rest`; known once something was drawn
    how      what the crop auto came to, to be told; empty where it was not asked
    head     the head in it, where one was looked for and seen
    """

    how = ""
    head: Edges | None = None

    def __init__(
        self,
        runner: Runner,
        picture: Frame,
        crop: Box | affine.Matrix | None = None,
        family: Family | None = None,
        frames: int | str | None = None,
        detail: float = 1.0,
        alpha: Alpha | None = None,
        face_detector: Path | None = None,
    ) -> None:
        """crop: a box, the matrix of a turned one, or None = the middle; frames: as `--size`; detail: of `Enlarger`.

        alpha: the picture's transparency, which moves with it into frames of four channels
        face_detector: the file of the network that finds faces where the family asks about them, None = the bundled one
        """
        check_frame(picture)
        size, result = runner.engine.size, runner.engine.output_size
        self.runner, self.detail = runner, detail
        self.family = family or runner.engine.family
        self.picture, self._crop = picture, crop
        if isinstance(crop, np.ndarray):
            self.matrix, self.box = crop, affine.bounds(crop, result)
            self.source = fit(affine.crop(picture, crop, result), size)
        else:
            self.box = crop or center_box(picture.shape[0], picture.shape[1], size[1] / size[0])
            self.matrix = affine.box_matrix(self.box, result)
            self.source = fit(picture, size, crop)
        self.pose = runner.detect([self.source])
        if self.family.heeds_openness:
            look = openness_finder(face_detector)
            self.pose = self.family.opened(self.pose, held([look(self.source)], "the source"))
        self.size = result if frames is None else self._sized(frames)
        self.alpha = alpha
        if self.size != result:
            check_flow(runner.engine, self.turned)
        if alpha is not None:
            check_flow(runner.engine, self.turned, "--background")
        self.taper: Map | None = None
        self.needs_rest = self.size != result or alpha is not None
        self.rest: Part | None = None
        self.encoded: Any = None
        self._enlarger: Enlarger | None = None

    def cut_out(self, picture: Frame, alpha: Alpha) -> None:
        """Go on with the same picture cut out: its colours beyond the edge, and its transparency."""
        check_flow(self.runner.engine, self.turned, "--background")
        self.picture, self.alpha, self.needs_rest = picture, alpha, True
        self.source = fit(picture, self.runner.engine.size, self._box)
        self.pose = self.runner.detect([self.source])

    @property
    def turned(self) -> bool:
        """Whether the crop does not stand upright."""
        return isinstance(self._crop, np.ndarray)

    path: Path | None = None
    warnings: Sequence[str] = ()

    @property
    def faces(self) -> Sequence[Scene]:
        """The parts of the picture that move: as a rule all of it, as one."""
        return (self,)

    def _sized(self, size: int | str) -> tuple[int, int]:
        """The result's shape with a shorter side of so many pixels, or as large as the part that is seen; never smaller
        than the network's own."""
        height, width = self.runner.engine.output_size
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
        return (self.compose([part]) for part in self.draw(moved))

    def draw(self, moved: Any) -> Iterator[Part]:
        """What the network makes of them, for `compose`, which may run in another thread."""
        if self.encoded is None:
            self.encoded = self.runner.engine.encode(self.source)
            if self.needs_rest:
                self.rest = next(self._drawn(self.pose))
        return self._drawn(moved)

    def _drawn(self, moved: Any) -> Iterator[Part]:
        if self.runner.engine.motion_size is None or not self.needs_rest:
            return map(Part, self.runner.render(self.encoded, self.pose, moved))
        return self.runner.parts(self.encoded, self.pose, moved, self.taper)

    def compose(self, parts: Sequence[Part]) -> Frame:
        """A frame of what the network drew."""
        if self.rest is None:
            return parts[0].frame
        if self._enlarger is None:
            self._enlarger = Enlarger(
                self.still, self.rest, self.size, detail=self.detail, clear=self.alpha is not None
            )
        return self._enlarger(parts[0])

    @property
    def _box(self) -> Box | None:
        """As `fit` takes it: None for the middle, to fractions of a pixel."""
        return self._crop if isinstance(self._crop, Box) else None

    @property
    def still(self) -> NDArray[np.uint8]:
        """The source as large as frames are, its transparency in a fourth channel where it has any."""
        colours = fit(self.picture, self.size, self._box)
        if self.alpha is None:
            return colours
        shown = fit(np.repeat(self.alpha[..., None], 3, axis=2), self.size, self._box)
        return np.dstack([colours, shown[..., :1]])


def check_flow(engine: Engine, turned: bool = False, option: str = "--size") -> None:
    """Refuse what needs a flow where there is none, and where it cannot be followed."""
    if engine.motion_size is None:
        raise FommError(
            f"{engine.family.title}, run by {engine.name}, gives no flow to move larger and cut-out pictures by.",
            f"Leave out {option}. Of an export of an earlier version: export it again.",
        )
    if turned:
        raise FommError(
            f"A crop that is turned with the face goes without {option}.",
            "Take an upright one: --crop-source center or x,y,w,h.",
        )


def open_scene(
    runner: Runner,
    path: Path,
    crop_source: str = "auto",
    face_detector: Path | None = None,
    clips: bool = False,
    family: Family | None = None,
    size: int | str | None = None,
    longest: int | None = None,
    detail: float = 1.0,
    cut: tuple[Frame, Alpha] | None = None,
) -> Scene:
    """The scene of a picture file. With `clips` a video stands for its first frame.

    crop_source   as in `crop_box`; auto: the family's own; portrait: turned with the face
    """
    family = family or runner.engine.family
    picture, alpha = (open_picture(path, clips, longest), None) if cut is None else cut
    crop_source = family.crop if crop_source == "auto" else crop_source
    crop, how = source_crop(runner, picture, path, crop_source, face_detector)
    scene = Scene(runner, picture, crop, family, size, detail, alpha, face_detector)
    scene.path, scene.how = path, how
    scene.head = seen_heads(picture, [scene.box], runner.engine, face_detector)[0]
    return scene


def open_picture(path: Path, clips: bool = False, longest: int | None = None) -> Frame:
    """The source of a file, its longer side at most so many pixels. With `clips` a video stands for its first frame."""
    picture = next(read_frames(path, 0, 1)) if clips and path.suffix.lower() in _CLIPS else read_source(path)
    check_picture(path, picture)
    return resize(picture, shrunk(picture, longest))


def shrunk(picture: Frame, longest: int | None) -> tuple[int, int]:
    """(H, W) of a picture whose longer side is at most so many pixels."""
    factor = 1.0 if longest is None else min(1.0, longest / max(picture.shape[:2]))
    return max(1, round(picture.shape[0] * factor)), max(1, round(picture.shape[1] * factor))


def source_crop(
    runner: Runner, picture: Frame, path: Path, text: str, detector: Path | None
) -> tuple[Box | affine.Matrix | None, str]:
    """The crop of a word or of numbers, None for the middle, to fractions of a pixel; and what auto came to."""
    engine = runner.engine
    if text == "portrait":
        return crops.portrait_matrix(picture, path, engine.output_size, detector), ""
    height, width = engine.size
    extent = (picture.shape[0], picture.shape[1])
    return crops.cut(text, extent, width / height, lambda: [picture], detector, engine.usual.framing)


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

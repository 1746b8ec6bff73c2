"""What is asked of an animation from files to files, and what is told of it afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from fomm_cli.boxes import Box
from fomm_cli.engine.base import Engine, check_motion, usual_motion
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import Frame
from fomm_cli.motion.controls import Controls
from fomm_cli.motion.motion import Anchor

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done ("detect" or "render"), frames done, and their number (None = not known yet)."""


class Output(NamedTuple):
    """One file to write, and what its frames show: a name of `layouts.LAYOUTS`."""

    path: str | Path
    layout: str = "result"


EXTENDS = ["hold", "loop", "stop"]
COLOURS = ["border", "off"]


@dataclass(frozen=True)
class Paste:
    """How what moves is put back into the whole picture.

    faces         which of it, as `faces.parse_face` reads it; none: as `crop_source` says, and for auto the largest
    drive         what else drives faces, by their numbers in the order of `faces`
    extend        what a face does whose own driving is over: "hold" its pose, "loop", or "stop" all
    pin           share of a crop's side over which movement dies away towards its border; None = PIN where there is a
                  flow to hold
    feather       share over which its pixels fade into the picture's
    colour_match  "border": contrast and levels as those of the picture round it, once for all frames; "off"
    """

    faces: tuple[str, ...] = ()
    drive: tuple[tuple[int, Path], ...] = ()
    extend: str = "hold"
    pin: float | None = None
    feather: float = 0.1
    colour_match: str = "border"


PIN = 0.2


class Credentials(NamedTuple):
    """What results are signed by: a certificate and its key, PEM files, and an authority for times or None."""

    certificate: Path
    key: Path
    timestamp: str | None = None


class Face(NamedTuple):
    """A part of a picture that was animated: where, by what, and from which of its frames.

    heads  how much of the source's part and of the clip's the head is, by its longer side; None where none was seen
    """

    box: Box
    driving: Path
    anchor: int | None
    distance: float | None
    heads: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Settings:
    """How to animate; what each means stands in `docs/animate.md`. Mode and scale are the weights' own where None."""

    mode: str | None = None
    adapt_scale: bool | None = None
    anchor: str = "auto"
    crop_source: str = "auto"
    crop_driving: str = "auto"
    face_detector: Path | None = None
    size: int | str | None = None
    max_size: int | None = None
    detail: float = 1.0
    paste: Paste | None = None
    background: str = "keep"
    mask: Path | None = None
    matte: str | None = None
    crop_json: Path | None = None
    mark: str = "tag"
    badge: str | None = None
    sign: Credentials | None = None
    controls: Controls = field(default_factory=Controls)
    force_motion: bool = False
    audio: str = "driving"
    crf: int = 18
    force: bool = False
    options: tuple[str, ...] = ()
    fps: Fraction | None = None
    begin: Fraction = Fraction(0)
    end: Fraction | None = None
    audio_track: int | None = None
    allow_damaged: bool = False

    def agreed(self, engine: Engine) -> Settings:
        """The same with the weights' own mode and scale where nobody said; FommError for what they do not have."""
        mode, scaled = usual_motion(engine)
        mode, scaled = self.mode or mode, scaled if self.adapt_scale is None else self.adapt_scale
        check_motion(engine, mode, scaled)
        return replace(self, mode=mode, adapt_scale=scaled)

    @property
    def carrying(self) -> tuple[str, bool]:
        """(mode, adapt_scale), as agreed."""
        return self.mode or "relative", self.adapt_scale is not False


@dataclass
class Report:
    """What was done.

    crop_driving      None for a motion file
    anchor, distance  the driving frame that stood for the source's pose and how far from it; None in absolute mode
    clamped           frames whose movement was kept from tearing
    jitter            root mean square of second differences of the rendered points, in pixels a frame squared
    loop_jump         the step over a loop's end in steps of the usual size; None without --loop
    faces             with paste-back: the parts that moved
    heads             as in `Face`, of the first part
    cut               what the crop auto came to; empty where it was not asked
    seconds           from the first frame read to the last file finished
    """

    outputs: list[Path]
    frames: int
    size: tuple[int, int]
    rate: Fraction
    variable_rate: bool
    has_audio: bool
    crop_source: Box
    crop_driving: Box | None
    anchor: int | None
    distance: float | None
    seconds: float
    clamped: int = 0
    jitter: float = 0.0
    loop_jump: float | None = None
    cut: str = ""
    warnings: list[str] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)
    heads: tuple[float | None, float | None] = (None, None)


class Still(NamedTuple):
    """One frame of a result, before there is a result.

    frame     uint8 RGB (H, W, 3)
    row       its number, from 0
    frames    how many frames the result will have
    anchor    the driving frame that stands for the source's pose; None in absolute mode
    """

    frame: Frame
    row: int
    frames: int
    anchor: Anchor | None
    warnings: list[str]


def parse_time(text: str) -> Fraction:
    """Seconds of a clip, written 83, 83.5, 1:23.5 or 0:01:23.5."""
    match = re.fullmatch(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,9}(?:\.\d{1,9})?)", text.strip())
    if match is None:
        raise FommError(f"{text!r} is no time.", "Give seconds, as 83.5, or minutes and seconds, as 1:23.5.")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def parse_anchor(text: str) -> str | int:
    """`auto`, `first`, or the number of a driving frame, from 0."""
    if text in {"auto", "first"}:
        return text
    if text.isdecimal():
        return int(text)
    raise FommError(
        f"There is no anchor {text!r}.", f"{nearest(text, ['auto', 'first'])} Or the number of a driving frame, from 0."
    )


def parse_size(text: str) -> int | str:
    """`source`, or the shorter side of the frames in pixels."""
    if text == "source" or (text.isdecimal() and 16 <= int(text) <= 8192):
        return text if text == "source" else int(text)
    raise FommError(f"There is no size {text!r}.", "Give source, or pixels of the shorter side, 16 to 8192.")

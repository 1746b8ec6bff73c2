"""`fomm animate`: a still picture moves like a clip; `fomm demo`: a bundled portrait, by a bundled clip."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from fomm_cli.commands.controls import (
    Clamp,
    ClampChoice,
    Expression,
    ForceMotion,
    Head,
    Lock,
    Loop,
    LoopChoice,
    MotionScale,
    Smooth,
    controls,
)
from fomm_cli.commands.options import (
    NONE,
    AdaptScale,
    AllowDamaged,
    Audio,
    AudioTrack,
    Crf,
    Device,
    End,
    EngineChoice,
    EngineName,
    FaceNetwork,
    FamilyOptions,
    Force,
    Json,
    Layout,
    ModeChoice,
    Offline,
    Precision,
    PrecisionName,
    Start,
    Weights,
    Who,
)
from fomm_cli.commands.pictures import (
    Background,
    BadgeChoice,
    ColourChoice,
    ColourMatch,
    CropJson,
    Detail,
    Drive,
    Extend,
    ExtendChoice,
    FaceChoice,
    Feather,
    Key,
    MarkChoice,
    MarkKind,
    Mask,
    Matte,
    MaxSize,
    PasteBack,
    Pin,
    Sign,
    Size,
    Timestamp,
    credentials,
    paste,
)
from fomm_cli.errors import FommError, UsageError, counted

T = TypeVar("T")

UNMARKED = "Without a mark nothing in the file says that it was made by a network: say so where you show it."

if TYPE_CHECKING:
    from fomm_cli.animate.clip import Report, Settings
    from fomm_cli.engine.base import Engine


def animate(
    source: Path = typer.Argument(..., metavar="SOURCE", help="The picture to animate."),
    driving: Path = typer.Argument(
        ..., metavar="DRIVING", help="Whose motion it takes: video, GIF, folder or motion file."
    ),
    output: Path | None = typer.Option(
        None,
        "-o",
        "--output",
        metavar="OUT",
        help="mp4, webm, mov, mkv, gif, webp, apng, or no suffix: a folder of png.",
    ),
    weights: Weights = None,
    mode: ModeChoice = None,
    adapt_scale: AdaptScale = None,
    anchor: str = typer.Option(
        "auto", "--anchor", metavar="auto|first|N", help="The driving frame that stands for the source's pose."
    ),
    crop_source: str = typer.Option(
        "auto", "--crop-source", metavar="CROP", help="auto, center, pad, face, portrait or x,y,w,h."
    ),
    crop_driving: str = typer.Option(
        "auto", "--crop-driving", metavar="CROP", help="auto, center, pad, face, portrait, motion or x,y,w,h."
    ),
    size: Size = None,
    max_size: MaxSize = None,
    detail: Detail = 1.0,
    paste_back: PasteBack = None,
    faces: FaceChoice = NONE,
    drive: Drive = NONE,
    extend: ExtendChoice = Extend.HOLD,
    pin: Pin = None,
    feather: Feather = 0.1,
    colour_match: ColourChoice = ColourMatch.BORDER,
    face_detector: FaceNetwork = None,
    options: FamilyOptions = NONE,
    motion_scale: MotionScale = 1.0,
    head: Head = 1.0,
    expression: Expression = 1.0,
    lock: Lock = "none",
    smooth: Smooth = 0.0,
    clamp: ClampChoice = Clamp.AUTO,
    loop: LoopChoice = Loop.NONE,
    force_motion: ForceMotion = False,
    layout: Layout = typer.Option(Layout.RESULT, "--layout", help="What the output shows."),
    audio: Audio = typer.Option(Audio.DRIVING, "--audio", help="The sound."),
    audio_track: AudioTrack = None,
    start: Start = "0",
    end: End = None,
    fps: str | None = typer.Option(None, "--fps", metavar="RATE", help="Of a folder of pictures: 24 or 30000/1001."),
    allow_damaged: AllowDamaged = False,
    crf: Crf = 18,
    background: Background = "keep",
    mask: Mask = None,
    matte: Matte = None,
    crop_json: CropJson = None,
    mark: MarkChoice = MarkKind.TAG,
    badge: BadgeChoice = None,
    sign: Sign = None,
    key: Key = None,
    timestamp: Timestamp = None,
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
    cuda_graphs: bool = typer.Option(False, "--cuda-graphs", help="Record the GPU's kernels once and replay them."),
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make SOURCE move like DRIVING.

    The default weights know faces; `fomm weights list` tells of others. Without -o the output is SOURCE-DRIVING.mp4 in
    the current folder.
    """
    from rich.console import Console

    from fomm_cli.animate.backdrop import parse_background
    from fomm_cli.animate.clip import Output, Settings, animate_clip
    from fomm_cli.animate.crops import check_crop
    from fomm_cli.animate.inputs import check_inputs
    from fomm_cli.animate.settings import parse_anchor, parse_size, parse_time
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.media.write import check_suffix

    steering = controls(motion_scale, head, expression, lock, smooth, clamp, loop)
    _usage("--anchor", parse_anchor, anchor)
    _usage("--crop-source", lambda text: check_crop(text, still=True), crop_source)
    _usage("--crop-driving", check_crop, crop_driving)
    if size is not None:
        _usage("--size", parse_size, size)
    _usage("--background", parse_background, background)
    pasted = paste(paste_back, faces, drive, extend, pin, feather, colour_match, crop_source, size, loop)
    path = output if output is not None else Path(f"{_stem(source)}-{_stem(driving)}.mp4")
    _usage("-o", check_suffix, path)
    for name, given in (("SOURCE", source), ("DRIVING", driving)):
        _usage(name, _check_given, given)
    if fps is not None and not driving.is_dir():
        raise UsageError(f"--fps: {driving} has times of its own; --fps is for folders of pictures.")
    settings = Settings(
        mode=None if mode is None else mode.value,
        adapt_scale=adapt_scale,
        anchor=anchor,
        crop_source=crop_source,
        crop_driving=crop_driving,
        face_detector=face_detector,
        size=None if size is None else parse_size(size),
        max_size=max_size,
        detail=detail,
        paste=pasted,
        controls=steering,
        force_motion=force_motion,
        audio=audio,
        crf=crf,
        background=background,
        mask=mask,
        matte=matte,
        crop_json=crop_json,
        mark=str(mark),
        badge=None if badge is None else str(badge),
        sign=credentials(sign, key, timestamp),
        force=force,
        options=tuple(options),
        fps=None if fps is None else _usage("--fps", _rate, fps),
        begin=_usage("--start", parse_time, start),
        end=None if end is None else _usage("--end", parse_time, end),
        audio_track=audio_track,
        allow_damaged=allow_damaged,
    )
    outputs = [Output(path, layout)]
    check_inputs(source, driving, outputs, settings)
    console = Console(stderr=True, highlight=False)
    runner = opened(weights, device, engine, precision, console, cuda_graphs)
    with frame_progress(console) as progress:
        report = animate_clip(runner, source, driving, outputs, settings, progress)
    tell(report, console)
    if mark == MarkKind.NONE:
        console.print(UNMARKED, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(document(report, runner, settings), indent=2))
    else:
        typer.echo(str(path))


def demo(
    folder: Path = typer.Option(Path("demo"), "-o", "--output", metavar="DIR", help="Where the two clips go."),
    sample: Who | None = typer.Option(None, "--sample", help="Who is moved; whom the weights know best."),
    weights: Weights = None,
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Animate a bundled portrait by a bundled clip: result.mp4 and side-by-side.mp4.

    A person where the weights know people, else a cartoon. Everything needed is in the package; nothing is downloaded.
    """
    from rich.console import Console

    from fomm_cli.animate.clip import Output, Settings, animate_clip
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.weights.catalogue import SAMPLES, sample_of

    outputs = [Output(folder / "result.mp4"), Output(folder / "side-by-side.mp4", "side-by-side")]
    for output in outputs:
        if Path(output.path).exists() and not force:
            raise FommError(f"{output.path} exists already.", "Choose another folder with -o, or use --force.")
    console = Console(stderr=True, highlight=False)
    runner = opened(weights, device, engine, precision, console)
    # The clips begin as the portraits look, mouth shut; where the heads are nearest to each other, a mouth is open.
    settings = Settings(anchor="first", force=force, size=256 if runner.motion_size else None)
    source, driving = sample_of(weights) if sample is None else SAMPLES[sample]
    with frame_progress(console) as progress:
        report = animate_clip(runner, source, driving, outputs, settings, progress)
    tell(report, console)
    if as_json:
        typer.echo(json.dumps(document(report, runner, settings), indent=2))
    else:
        for output in outputs:
            typer.echo(str(output.path))


def opened(
    weights: str | None, device: str, engine: str, precision: str, console: Any, cuda_graphs: bool = False
) -> Engine:
    """The engine for these options; says once, on stderr, what runs where, and what the default weights know."""
    from fomm_cli.engine.choose import open_engine

    if weights is None:
        from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT

        console.print(
            f"Using the bundled weights {DEFAULT}, which know {CATALOGUE[DEFAULT].domain}. For others: "
            "`fomm weights list`, then --weights NAME.",
            soft_wrap=True,
        )

    def warn(sentence: str) -> None:
        console.print(f"[yellow]Warning:[/] {sentence}", soft_wrap=True)

    runner = open_engine(weights, device, engine, precision, cuda_graphs, warn)
    console.print(f"Engine: {runner.name}", markup=False, soft_wrap=True)
    return runner


def tell(report: Report, console: Any) -> None:
    """What a person wants to know after the run, on stderr."""
    for said in report.warnings:
        console.print(f"[yellow]Warning:[/] {said}", soft_wrap=True)
    if report.cut:
        console.print(report.cut, markup=False, soft_wrap=True)
    pace = report.frames / max(report.seconds, 1e-9)
    parts = [f"{counted(report.frames, 'frame')} in {report.seconds:.1f} s ({pace:.1f} fps)"]
    if report.anchor is not None:
        assert report.distance is not None
        parts.append(f"anchor: frame {report.anchor}, pose distance {report.distance:.2f}")
    if None not in report.heads:
        parts.append("the head is {:.0%} of source and {:.0%} of clip".format(*report.heads))
    parts.append("with sound" if report.has_audio else "no sound")
    console.print(" · ".join(parts), markup=False, soft_wrap=True)


def document(report: Report, runner: Engine, settings: Settings) -> dict[str, Any]:
    """The report for machines."""
    return {
        "outputs": [str(path) for path in report.outputs],
        "frames": report.frames,
        "size": list(report.size),
        "rate": str(report.rate),
        "variable_rate": report.variable_rate,
        "sound": report.has_audio,
        "mode": settings.agreed(runner).mode,
        "anchor": report.anchor,
        "pose_distance": report.distance,
        "crop_source": list(report.crop_source),
        "faces": [
            {
                "box": list(face.box),
                "driving": str(face.driving),
                "anchor": face.anchor,
                "pose_distance": face.distance,
                "heads": _shares(face.heads),
            }
            for face in report.faces
        ],
        "crop_driving": None if report.crop_driving is None else list(report.crop_driving),
        "cut": report.cut,
        "heads": _shares(report.heads),
        "clamped": report.clamped,
        "jitter_px": round(report.jitter, 4),
        "loop_jump": None if report.loop_jump is None else round(report.loop_jump, 3),
        "engine": runner.name,
        "seconds": round(report.seconds, 3),
        "fps": round(report.frames / max(report.seconds, 1e-9), 2),
        "warnings": report.warnings,
    }


def _shares(heads: tuple[float | None, float | None]) -> list[float | None]:
    """How much of source and clip the head is."""
    return [None if share is None else round(share, 3) for share in heads]


def _stem(path: Path) -> str:
    """The file's name without its suffix, and no longer than leaves room for another: a name has 255 bytes."""
    stem = path.name.removesuffix(".motion.safetensors") if path.suffix == ".safetensors" else path.stem
    stem = stem or path.resolve().stem
    return stem if len(stem.encode()) <= 120 else stem.encode()[:120].decode(errors="ignore")


def _rate(text: str) -> Fraction:
    from fomm_cli.media.sequence import parse_rate

    rate = parse_rate(text)
    if rate is None or not 0 < rate <= 1000:
        raise FommError(f"{text!r} is no rate.", "Give frames a second, as 24, 29.97 or 30000/1001.")
    return rate


def _check_given(path: Path) -> None:
    """Refuse an address and what is no file; whether it exists is another question."""
    from fomm_cli.files.disk import check_endless

    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        raise FommError("It is an address, and nothing is fetched here.", "Download it and name the file.")
    check_endless(path)


def _usage(option: str, check: Callable[[Any], T], value: Any) -> T:
    """A value of the wrong form is wrong usage (exit 2), not a failure of the work."""
    try:
        return check(value)
    except FommError as error:
        raise UsageError(f"{option}: {error.what} {error.hint}".rstrip()) from error

"""`fomm animate`: a still picture moves like a clip; `fomm demo`: the bundled portrait, by the bundled clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    Audio,
    Crf,
    Device,
    EngineChoice,
    EngineName,
    Force,
    Json,
    Layout,
    Mode,
    Offline,
    Precision,
    PrecisionName,
    Weights,
)
from fomm_cli.errors import FommError, counted

if TYPE_CHECKING:
    from fomm_cli.animate.clip import Report
    from fomm_cli.engine.base import Engine


def animate(
    source: Path = typer.Argument(..., metavar="SOURCE", help="The picture to animate."),
    driving: Path = typer.Argument(
        ..., metavar="DRIVING", help="Whose motion it takes: video, GIF, folder or motion file."
    ),
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="OUT", help="mp4, webm, mov, mkv, gif, or no suffix: a folder of png."
    ),
    weights: Weights = None,
    mode: Mode | None = typer.Option(None, "--mode", help="Of the motion; the weights' own, mostly relative."),
    adapt_scale: bool | None = typer.Option(
        None, "--adapt-scale/--no-adapt-scale", help="Relative: fit movements to the source's size, or not."
    ),
    anchor: str = typer.Option(
        "auto", "--anchor", metavar="auto|first|N", help="The driving frame that stands for the source's pose."
    ),
    crop_source: str = typer.Option(
        "auto", "--crop-source", metavar="CROP", help="auto, center, pad, face, portrait or x,y,w,h."
    ),
    crop_driving: str = typer.Option(
        "auto", "--crop-driving", metavar="CROP", help="auto, center, pad, face, portrait, motion or x,y,w,h."
    ),
    face_detector: Path | None = typer.Option(
        None, "--face-detector", metavar="FILE", help="For crop face: the network's file, if it cannot be downloaded."
    ),
    options: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="An option of these weights' family, as their page says. Repeatable."
    ),
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
    crf: Crf = 18,
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
    cuda_graphs: bool = typer.Option(False, "--cuda-graphs", help="Record the GPU's kernels once and replay them."),
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make SOURCE move like DRIVING.

    The default weights know cartoon faces; `fomm weights list` tells of others. Without -o the output is
    SOURCE-DRIVING.mp4 in the current folder.
    """
    from rich.console import Console

    from fomm_cli.animate.clip import Output, Settings, animate_clip
    from fomm_cli.animate.crops import check_crop
    from fomm_cli.animate.settings import parse_anchor
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.media.write import check_suffix

    steering = controls(motion_scale, head, expression, lock, smooth, clamp, loop)
    _usage("--anchor", parse_anchor, anchor)
    _usage("--crop-source", lambda text: check_crop(text, still=True), crop_source)
    _usage("--crop-driving", check_crop, crop_driving)
    path = output if output is not None else Path(f"{_stem(source)}-{_stem(driving)}.mp4")
    _usage("-o", check_suffix, path)
    for given in (source, driving):
        if not given.exists():
            raise FommError(f"{given} does not exist.", "Check the path.")
    empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not empty and not force:
        raise FommError(f"{path} exists already.", "Choose another name, or overwrite it with --force.")
    console = Console(stderr=True, highlight=False)
    runner = opened(weights, device, engine, precision, console, cuda_graphs)
    usual_mode, usual_scale = runner.usual
    if usual_mode == "avd" and not runner.disentangles:  # its network is trained last, and may be still to come
        usual_mode = "relative"
    chosen = usual_mode if mode is None else mode.value
    settings = Settings(
        mode=chosen,
        adapt_scale=usual_scale if adapt_scale is None else adapt_scale,
        anchor=anchor,
        crop_source=crop_source,
        crop_driving=crop_driving,
        face_detector=face_detector,
        controls=steering,
        force_motion=force_motion,
        audio=audio,
        crf=crf,
        force=force,
        options=tuple(options),
    )
    with frame_progress(console) as progress:
        report = animate_clip(runner, source, driving, [Output(path, layout)], settings, progress)
    tell(report, console)
    if as_json:
        typer.echo(json.dumps(document(report, runner, chosen), indent=2))
    else:
        typer.echo(str(path))


def demo(
    folder: Path = typer.Option(Path("demo"), "-o", "--output", metavar="DIR", help="Where the two clips go."),
    weights: Weights = None,
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Animate the bundled portrait: result.mp4 and side-by-side.mp4.

    Everything needed is in the package; nothing is downloaded.
    """
    from rich.console import Console

    from fomm_cli.animate.clip import Output, Settings, animate_clip
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.files.disk import ASSETS

    outputs = [Output(folder / "result.mp4"), Output(folder / "side-by-side.mp4", "side-by-side")]
    for output in outputs:
        if Path(output.path).exists() and not force:
            raise FommError(f"{output.path} exists already.", "Choose another folder with -o, or use --force.")
    console = Console(stderr=True, highlight=False)
    runner = opened(weights, device, engine, precision, console)
    # The clip begins as the portrait looks, mouth shut; where its head is nearest to the portrait's, the mouth is open.
    settings = Settings(anchor="first", force=force)
    with frame_progress(console) as progress:
        report = animate_clip(runner, ASSETS / "portrait.png", ASSETS / "driving.mp4", outputs, settings, progress)
    tell(report, console)
    if as_json:
        typer.echo(json.dumps(document(report, runner, "relative"), indent=2))
    else:
        for output in outputs:
            typer.echo(str(output.path))


def opened(
    weights: str | None, device: str, engine: str, precision: str, console: Any, cuda_graphs: bool = False
) -> Engine:
    """The engine for these options; says once, on stderr, what runs where, and what the default weights know."""
    from fomm_cli.engine.choose import open_engine

    if weights is None:
        console.print(
            "Using the bundled weights toon-128, which know cartoon faces. For people or animals: `fomm weights list`, "
            "then --weights NAME.",
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
    pace = report.frames / max(report.seconds, 1e-9)
    parts = [f"{counted(report.frames, 'frame')} in {report.seconds:.1f} s ({pace:.1f} fps)"]
    if report.anchor is not None:
        assert report.distance is not None
        parts.append(f"anchor: frame {report.anchor}, pose distance {report.distance:.2f}")
    parts.append("with sound" if report.has_audio else "no sound")
    console.print(" · ".join(parts), markup=False, soft_wrap=True)


def document(report: Report, runner: Engine, mode: str) -> dict[str, Any]:
    """The report for machines."""
    return {
        "outputs": [str(path) for path in report.outputs],
        "frames": report.frames,
        "size": list(report.size),
        "rate": str(report.rate),
        "variable_rate": report.variable_rate,
        "sound": report.has_audio,
        "mode": mode,
        "anchor": report.anchor,
        "pose_distance": report.distance,
        "crop_source": list(report.crop_source),
        "crop_driving": None if report.crop_driving is None else list(report.crop_driving),
        "clamped": report.clamped,
        "jitter_px": round(report.jitter, 4),
        "loop_jump": None if report.loop_jump is None else round(report.loop_jump, 3),
        "engine": runner.name,
        "seconds": round(report.seconds, 3),
        "fps": round(report.frames / max(report.seconds, 1e-9), 2),
        "warnings": report.warnings,
    }


def _stem(path: Path) -> str:
    return (
        path.name.removesuffix(".motion.safetensors")
        if path.suffix == ".safetensors"
        else path.stem or path.resolve().stem
    )


def _usage(option: str, check: Callable[[Any], Any], value: Any) -> None:
    """A value of the wrong form is wrong usage (exit 2), not a failure of the work."""
    try:
        check(value)
    except FommError as error:
        raise typer.BadParameter(f"{error.what} {error.hint}", param_hint=f"'{option}'") from error

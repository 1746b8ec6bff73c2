"""`fomm animate`: a still picture moves like a clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.commands.options import Offline
from fomm_cli.errors import FommError, counted

if TYPE_CHECKING:
    from fomm_cli.animate.clip import Report
    from fomm_cli.engine.base import Engine


class Mode(StrEnum):
    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class Layout(StrEnum):
    RESULT = "result"
    SIDE_BY_SIDE = "side-by-side"
    KEYPOINTS = "keypoints"


class Audio(StrEnum):
    DRIVING = "driving"
    NONE = "none"


class EngineName(StrEnum):
    AUTO = "auto"
    PLAIN = "plain"
    FUSED = "fused"


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


WEIGHTS = typer.Option(
    None, "--weights", metavar="NAME|FILE|hf://…|DIR", help="What the network has learned: see `fomm weights list`."
)
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps.")
ENGINE = typer.Option(EngineName.AUTO, "--engine", help="auto is fused, the quicker one.")
PRECISION = typer.Option(Precision.AUTO, "--precision", help="Keypoints are always fp32.")
FORCE = typer.Option(False, "--force", help="Overwrite an existing output.")
JSON = typer.Option(False, "--json", help="Print one JSON document instead of the path.")


def animate(
    source: Path = typer.Argument(..., metavar="SOURCE", help="The picture to animate."),
    driving: Path = typer.Argument(
        ..., metavar="DRIVING", help="The clip whose motion it takes: video, GIF or folder."
    ),
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="OUT", help="mp4, webm, mov, mkv, gif, or no suffix: a folder of png."
    ),
    weights: str | None = WEIGHTS,
    mode: Mode = typer.Option(Mode.RELATIVE, "--mode", help="Of the motion."),
    adapt_scale: bool = typer.Option(
        True, "--adapt-scale/--no-adapt-scale", help="Relative: fit movements to the source's size."
    ),
    anchor: str = typer.Option(
        "auto", "--anchor", metavar="auto|first|N", help="The driving frame that stands for the source's pose."
    ),
    crop_source: str = typer.Option("center", "--crop-source", metavar="CROP", help="center, pad, face or x,y,w,h."),
    crop_driving: str = typer.Option(
        "center", "--crop-driving", metavar="CROP", help="center, pad, face, motion or x,y,w,h."
    ),
    face_detector: Path | None = typer.Option(
        None, "--face-detector", metavar="FILE", help="For crop face: the network's file, if it cannot be downloaded."
    ),
    layout: Layout = typer.Option(Layout.RESULT, "--layout", help="What the output shows."),
    audio: Audio = typer.Option(Audio.DRIVING, "--audio", help="The sound."),
    crf: int = typer.Option(18, "--crf", min=0, max=63, help="Video quality; lower is better and larger."),
    device: str = DEVICE,
    engine: EngineName = ENGINE,
    precision: Precision = PRECISION,
    cuda_graphs: bool = typer.Option(False, "--cuda-graphs", help="Record the GPU's kernels once and replay them."),
    offline: Offline = False,
    force: bool = FORCE,
    as_json: bool = JSON,
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
    runner = open_engine(weights, device, engine, precision, console, cuda_graphs)
    settings = Settings(mode, adapt_scale, anchor, crop_source, crop_driving, face_detector, audio, crf, force)
    with frame_progress(console) as progress:
        report = animate_clip(runner, source, driving, [Output(path, layout)], settings, progress)
    tell(report, console)
    if as_json:
        typer.echo(json.dumps(document(report, runner, mode), indent=2))
    else:
        typer.echo(str(path))


def open_engine(
    weights: str | None, device: str, engine: str, precision: str, console: Any, cuda_graphs: bool = False
) -> Engine:
    """The engine for these options; says once, on stderr, what runs where, and what the default weights know."""
    from fomm_cli.device import resolve, warning

    if weights is None:
        console.print(
            "Using the bundled weights toon-128, which know cartoon faces. For people or animals: `fomm weights list`, "
            "then --weights NAME.",
            soft_wrap=True,
        )
    if weights is not None and (Path(weights) / "export.json").is_file():
        from fomm_cli.engine.onnx import OnnxEngine

        if engine != "auto" or precision != "auto":
            raise FommError(
                f"{weights} is an export, which runs on onnxruntime in the precision it was written in.",
                "Leave --engine and --precision away.",
            )
        runner: Engine = OnnxEngine(Path(weights), device)
    else:
        from fomm_cli.engine.choose import make_engine
        from fomm_cli.weights.load import load_model

        place = resolve(device)
        if said := warning(place):
            console.print(f"[yellow]Warning:[/] {said}", soft_wrap=True)
        model = load_model(weights, device) if weights is not None else load_model(device=device)
        runner = make_engine(model, engine, precision, cuda_graphs)
    console.print(f"Engine: {runner.name}", markup=False, soft_wrap=True)
    return runner


def tell(report: Report, console: Any) -> None:
    """What a person wants to know after the run, on stderr."""
    for said in report.warnings:
        console.print(f"[yellow]Warning:[/] {said}", soft_wrap=True)
    pace = report.frames / max(report.seconds, 1e-9)
    parts = [f"{counted(report.frames, 'frame')} in {report.seconds:.1f} s ({pace:.1f} fps)"]
    if report.anchor is not None:
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
        "crop_driving": list(report.crop_driving),
        "engine": runner.name,
        "seconds": round(report.seconds, 3),
        "fps": round(report.frames / max(report.seconds, 1e-9), 2),
        "warnings": report.warnings,
    }


def _stem(path: Path) -> str:
    return path.stem or path.resolve().stem


def _usage(option: str, check: Callable[[Any], Any], value: Any) -> None:
    """A value of the wrong form is wrong usage (exit 2), not a failure of the work."""
    try:
        check(value)
    except FommError as error:
        raise typer.BadParameter(f"{error.what} {error.hint}", param_hint=f"'{option}'") from error

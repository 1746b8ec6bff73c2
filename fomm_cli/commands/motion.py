"""`fomm motion`: the motion of a clip in a file, looked at, edited and joined; only `extract` needs a network."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fomm_cli.commands.options import (
    Device,
    EngineChoice,
    EngineName,
    FaceNetwork,
    Force,
    Offline,
    Precision,
    PrecisionName,
    Weights,
)
from fomm_cli.errors import FommError, UsageError, counted

if TYPE_CHECKING:
    from fomm_cli.motion.motion import Motion

motion_app = typer.Typer(no_args_is_help=True, help="Motion files: extract, look at, edit and join what moves a clip.")


class ClipSound(StrEnum):
    NONE = "none"
    EMBED = "embed"
    REFERENCE = "reference"


In = Annotated[Path, typer.Argument(metavar="MOTION", help="A motion file.")]
Out = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The motion file to write.")]


@motion_app.command()
def extract(
    clip: Path = typer.Argument(..., metavar="CLIP", help="Video, GIF or folder of pictures."),
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="OUT", help="The file to write; else CLIP.motion.safetensors."
    ),
    weights: Weights = None,
    crop: str = typer.Option("auto", "--crop", metavar="CROP", help="auto, center, pad, face, motion or x,y,w,h."),
    face_detector: FaceNetwork = None,
    anchor: int | None = typer.Option(
        None, "--anchor", min=0, metavar="N", help="The frame that edits are relative to; else the first."
    ),
    audio: ClipSound = typer.Option(ClipSound.NONE, "--audio", help="Keep the sound, or where it is to be found."),
    private: bool = typer.Option(False, "--private", help="Movement alone: no shape of a head in the file."),
    openness: bool = typer.Option(
        False, "--openness", help="And how open eyes and lips are, for --set eyes=driving of live-portrait."
    ),
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
    offline: Offline = False,
    force: Force = False,
    as_json: bool = typer.Option(False, "--json", help="Print what `motion show --json` tells."),
) -> None:
    """Read the motion of CLIP, once and for any number of sources."""
    from rich.console import Console

    from fomm_cli.animate.crops import check_crop
    from fomm_cli.animate.crops import told as cut_told
    from fomm_cli.animate.driving import Clip
    from fomm_cli.animate.extract import extract as read_motion
    from fomm_cli.animate.runner import Runner
    from fomm_cli.animate.settings import Settings
    from fomm_cli.commands.animate import _usage, opened
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.files.disk import check_free
    from fomm_cli.motion.file import SUFFIX, save
    from fomm_cli.weights.catalogue import DEFAULT

    _usage("--crop", check_crop, crop)
    path = output or Path(f"{clip.stem or clip.resolve().stem}.motion{SUFFIX}")
    if path.suffix != SUFFIX:
        raise typer.BadParameter(f"{path.name} does not end in {SUFFIX}.", param_hint="'-o'")
    if not clip.exists():
        raise FommError(f"{clip} does not exist.", "Check the path.")
    if private and openness:
        raise UsageError("--openness: with --private a motion tells movement alone.")
    check_free(path, force)
    console = Console(stderr=True, highlight=False)
    runner = Runner(opened(weights, device, engine, precision, console))
    family = runner.engine.family
    if openness and "openness" not in family.beside:
        raise FommError(f"{family.title} does not ask how open eyes and lips are.", "Leave out --openness.")
    with frame_progress(console) as progress:
        settings = Settings(crop_driving=crop, face_detector=face_detector)
        driving = Clip(clip, runner.engine, settings, progress, openness)
        motion = read_motion(driving, runner, progress, anchor, audio, private)
    if driving.how:
        console.print(cut_told("", driving.how), markup=False, soft_wrap=True)
    told = f"extract {shlex.quote(clip.name)}" + (f" --crop {crop}" if crop != "auto" else "")
    notes = {**motion.notes, "fomm.weights": Path(weights).name if weights else DEFAULT}
    save(_noted(replace(motion, notes=notes), told + " --private" * private + " --openness" * openness), path, force)
    _said(path, motion, as_json)


@motion_app.command()
def show(file: In, as_json: bool = typer.Option(False, "--json", help="Print one JSON document.")) -> None:
    """Length, movement and origin of a motion."""
    from fomm_cli.motion.describe import summary
    from fomm_cli.motion.file import load

    found = summary(load(file))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if value not in (None, [], False):
            lines = value if name == "history" else [str(value)]
            for title, line in zip([name.replace("_", " "), *[""] * len(lines)], lines, strict=False):
                typer.echo(f"{title:<16} {line}")


@motion_app.command()
def plot(file: In, output: Path = typer.Option(..., "-o", "--output", metavar="PNG"), force: Force = False) -> None:
    """Draw where the points go, how fast, and what the head does."""
    from fomm_cli.motion.describe import plot as draw_plot
    from fomm_cli.motion.file import load

    draw_plot(load(file), output, force)
    typer.echo(str(output))


@motion_app.command()
def edit(
    file: In,
    output: Out,
    operations: list[str] = typer.Argument(
        ...,
        metavar="OPERATION...",
        help="trim=FROM:TO, speed=X, reverse, mirror, repeat=N, resample=FPS, hold=S; motion-scale=X, head=X, "
        "expression=X, lock=WORD, smooth=X, clamp=off, loop=cut|pingpong.",
    ),
    force: Force = False,
) -> None:
    """Change a motion, one operation after the other; controls of `fomm animate` have the same names here."""
    from fomm_cli.commands.animate import _usage
    from fomm_cli.motion.edit import edit as change
    from fomm_cli.motion.edit import parse
    from fomm_cli.motion.file import load

    for operation in operations:
        _usage("OPERATION", parse, operation)
    before = load(file)
    after, warnings = change(before, operations)
    if before.sound is not None and after.sound is None:
        warnings = [*warnings, "The sound was left out: its time no longer fits."]
    _write(_noted(after, "edit " + shlex.join(operations)), output, force, file, warnings=warnings)


@motion_app.command()
def concat(
    first: In,
    second: Annotated[Path, typer.Argument(metavar="NEXT", help="The motion that follows.")],
    output: Out,
    fade: int = typer.Option(8, "--fade", min=0, metavar="FRAMES", help="Frames that lead from one to the other."),
    force: Force = False,
) -> None:
    """One motion after another, without a jump."""
    from fomm_cli.motion.edit import concat as join
    from fomm_cli.motion.file import load

    joined = join(load(first), load(second), fade)
    _write(_noted(joined, f"concat {shlex.quote(second.name)} --fade {fade}"), output, force, first, second)


@motion_app.command()
def blend(
    first: In,
    second: Annotated[Path, typer.Argument(metavar="OTHER", help="The other motion.")],
    output: Out,
    weight: float = typer.Option(0.5, "--weight", min=0, max=1, help="0 is the first, 1 the other."),
    force: Force = False,
) -> None:
    """A motion between two, at the times of the first."""
    from fomm_cli.motion.edit import blend as mix
    from fomm_cli.motion.file import load

    mixed = mix(load(first), load(second), weight)
    _write(_noted(mixed, f"blend {shlex.quote(second.name)} --weight {weight:g}"), output, force, first, second)


@motion_app.command()
def check(
    file: In,
    weights: str = typer.Option(..., "--weights", metavar="NAME|FILE|DIR", help="The weights to be driven."),
) -> None:
    """Whether a motion drives these weights: exit code 0, or 1 and why not."""
    from fomm_cli.motion.file import load
    from fomm_cli.motion.motion import STRANGE, unlike
    from fomm_cli.weights.identity import read

    motion = load(file)
    family, detector = read(weights)
    if why := unlike(motion, family) or ("" if motion.detector and motion.detector == detector else STRANGE):
        raise FommError(f"{file} does not fit {weights}: {why}.", "Extract it again with these weights.")
    typer.echo(f"{file} fits {weights}.")


@motion_app.command("export")
def export_(
    file: In,
    output: Path = typer.Option(..., "-o", "--output", metavar="OUT", help=".npz, .csv or .json."),
    force: Force = False,
) -> None:
    """The numbers of a motion for other programs."""
    from fomm_cli.motion.exchange import export as write
    from fomm_cli.motion.file import load

    write(load(file), output, force)
    typer.echo(str(output))


@motion_app.command("import")
def import_(
    file: Path = typer.Argument(..., metavar="NPZ", help="Arrays as `motion export` writes them."),
    output: Path = typer.Option(..., "-o", "--output", metavar="OUT", help="The motion file to write."),
    force: Force = False,
) -> None:
    """A motion made by another program."""
    from fomm_cli.motion.exchange import read_npz

    _write(_noted(read_npz(file), f"import {shlex.quote(file.name)}"), output, force, file)


def _noted(motion: Motion, command: str) -> Motion:
    return replace(motion, history=(*motion.history, command))


def _write(motion: Motion, path: Path, force: bool, *inputs: Path, warnings: list[str] | None = None) -> None:
    from fomm_cli.files.disk import check_distinct
    from fomm_cli.motion.file import save

    check_distinct(path, *inputs)
    save(motion, path, force)
    for said in warnings or []:
        typer.echo(f"Warning: {said}", err=True)
    typer.echo(str(path))


def _said(path: Path, motion: Any, as_json: bool) -> None:
    from fomm_cli.motion.describe import summary

    if as_json:
        typer.echo(json.dumps({"output": str(path), **summary(motion)}, indent=2))
        return
    size = path.stat().st_size / 1000
    typer.echo(f"{counted(len(motion), 'frame')} of motion, {size:.0f} kB", err=True)
    typer.echo(str(path))

"""`fomm dataset`: check, pack and crop data sets; synth and fetch, with many options, stand in files of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fomm_cli.commands.dataset_fetch import fetch, status
from fomm_cli.commands.dataset_synth import synth
from fomm_cli.commands.options import NONE, ClipFormat, Force, Json, Partition, Set
from fomm_cli.errors import FommError, counted

if TYPE_CHECKING:
    from fomm_cli.data.check import Part
    from fomm_cli.data.pack import Outcome
    from fomm_cli.detectors.tracking import Finder, Rules

dataset_app = typer.Typer(no_args_is_help=True, help="Data sets: draw cartoon faces; fetch, check and pack clips.")

SHOWN = 20
"""Lines of one kind that `check` prints."""

dataset_app.command()(synth)


@dataset_app.command()
def check(
    root: Path = typer.Argument(..., metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    source: str | None = typer.Option(
        None, "--config", "-c", metavar="PRESET|FILE", help="Check it for this training: batch, identities, shapes."
    ),
    overrides: Set = NONE,
    full: bool = typer.Option(False, "--full", help="Decode every frame, not three a clip: finds all damage."),
    seed: int = typer.Option(0, "--seed", help="Of the split, where there are no train/ and test/."),
    workers: int | None = typer.Option(None, "--workers", metavar="N", min=1, help="Clips looked at at once."),
    as_json: Json = False,
) -> None:
    """Report layout, clips, frames, sizes, identities and every clip that cannot be read."""
    from rich.console import Console
    from rich.progress import Progress

    from fomm_cli.config import reading as configs
    from fomm_cli.data.check import check as run

    if overrides and source is None:
        raise typer.BadParameter("it changes a configuration: name one with --config.", param_hint="--set")
    config = None if source is None else configs.load(source, overrides)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("checking", total=None)
        result = run(
            root,
            config,
            seed,
            full,
            workers or os.cpu_count() or 1,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        typer.echo(f"{result.root}: {result.layout}")
        _print_part("train", result.train)
        _print_part("test", result.test)
        for title, lines in (
            ("unreadable", [reason for _, reason in result.unreadable]),
            ("ignored", result.ignored),
            ("warning", result.warnings),
            ("error", result.errors),
        ):
            for line in lines[:SHOWN]:
                typer.echo(f"{title}: {line}")
            if len(lines) > SHOWN:
                typer.echo(f"{title}: ... and {len(lines) - SHOWN} more; --json names all")
        typer.echo("Ready to train on." if result.usable else "Not usable for training.")
    if not result.usable:
        raise typer.Exit(1)


def _print_part(name: str, part: Part) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in part.kinds.items())
    typer.echo(f"{name:<6} {counted(part.clips, 'clip')}{f' ({kinds})' if kinds else ''}", nl=False)
    typer.echo(f", {counted(part.frames, 'frame')}, {counted(part.identities, 'identity', 'identities')}")
    if part.smallest is None or part.largest is None:
        return
    sizes = [f"{size} ({count})" for size, count in part.sizes.items()]
    more = f", {len(sizes) - 4} more" if len(sizes) > 4 else ""
    typer.echo(f"       sizes {', '.join(sizes[:4])}{more}")
    typer.echo(
        f"       shortest {part.smallest[0]} ({counted(part.smallest[1], 'frame')}), "
        f"longest {part.largest[0]} ({counted(part.largest[1], 'frame')})"
    )


@dataset_app.command()
def pack(
    root: Path = typer.Argument(..., metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    output: Path = typer.Option(..., "--output", "-o", metavar="OUT", help="The folder to write packed clips into."),
    lossless: bool = typer.Option(False, "--lossless", help="Store PNG frames instead of JPEG."),
    quality: int = typer.Option(95, "--quality", metavar="1-100", min=1, max=100, help="JPEG quality."),
    size: str | None = typer.Option(
        None, "--size", metavar="SIDE|WxH", help="Resize every frame, its sides cut to that shape first."
    ),
    workers: int | None = typer.Option(None, "--workers", metavar="N", min=1, help="Clips packed at once."),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Pack each clip into one file with random access to its frames.

    Any layout goes in; names and the train/ and test/ folders stay. Run it again to go on where it stopped.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fomm_cli.data.pack import pack as run
    from fomm_cli.data.packed import Packing

    packing = Packing(lossless, quality, _size(size))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("packing", total=None)

        def report(outcome: Outcome, total: int) -> None:
            progress.update(task, total=total, advance=1)
            if outcome.failure:
                progress.console.print(
                    f"skipped: {outcome.failure}", style="yellow", markup=False, highlight=False, soft_wrap=True
                )

        result = run(root, output, packing, workers or os.cpu_count() or 1, force, report)
    if as_json:
        typer.echo(json.dumps({"output": str(output), **vars(result)}))
    else:
        kept = f", {result.kept} packed before" if result.kept else ""
        held = f"{counted(result.frames, 'frame')}, {result.bytes / 1e6:.1f} MB"
        typer.echo(f"{output}: {counted(result.written, 'clip')} packed{kept}, {held}")
    if result.failures:
        typer.echo(f"Left out: {counted(len(result.failures), 'clip')}, see above.", err=True)
        raise typer.Exit(1)


def _size(text: str | None) -> tuple[int, int] | None:
    """ "256" or "WIDTHxHEIGHT" as (H, W)."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    try:
        return (int(height), int(width)) if cross else (int(width), int(width))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither a side nor WIDTHxHEIGHT.", param_hint="--size") from error


dataset_app.command()(fetch)
dataset_app.command()(status)


@dataset_app.command()
def crop(
    videos: list[Path] = typer.Argument(..., metavar="VIDEO...", help="Videos, or folders of them."),
    out: Path = typer.Option(..., "--out", "-o", metavar="DIR", help="Where clips, metadata.csv and sheets go."),
    find: str = typer.Option(
        "face", "--find", metavar="face|motion|x,y,w,h", help="What to crop to: faces, whatever moves, or a given box."
    ),
    detector: Path | None = typer.Option(None, "--detector", metavar="PATH", help="The network that finds faces."),
    iou: float = typer.Option(0.25, "--iou", min=0.0, max=1.0, help="Overlap with a track's first box, at least."),
    pad: float = typer.Option(0.1, "--pad", min=0.0, max=2.0, help="Share of the box added on each side."),
    min_frames: int = typer.Option(64, "--min-frames", metavar="N", min=1, help="Reject shorter tracks."),
    max_frames: int = typer.Option(1024, "--max-frames", metavar="N", min=1, help="Split longer tracks."),
    min_size: int = typer.Option(0, "--min-size", metavar="PX", min=0, help="Reject smaller squares (vox used 256)."),
    every: int = typer.Option(1, "--every", metavar="N", min=1, help="Look for faces in every N-th frame only."),
    size: int = typer.Option(256, "--size", metavar="PX", min=16, max=2048, help="Both sides of the clips."),
    kind: ClipFormat = typer.Option(ClipFormat.PACKED, "--format", help="How clips are stored."),
    partition: Partition = typer.Option(Partition.TRAIN, "--partition", help="The folder in DIR they go to."),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Find, track and cut square clips: one fixed box a track, nothing squashed.

    DIR/metadata.csv repeats the crop elsewhere: fomm dataset fetch DIR/metadata.csv --videos FOLDER --out OTHER.
    """
    from rich.console import Console

    from fomm_cli.acquire.crop import Keep, crop_videos
    from fomm_cli.acquire.cutting import Style
    from fomm_cli.detectors.tracking import Rules

    rules = Rules(iou, max_frames, every=every)
    console = Console(stderr=True)
    report = crop_videos(
        _videos(videos),
        out,
        _finder(find, detector, rules),
        Keep(pad, min_frames, min_size, partition.value),
        Style(size, kind.value, "square"),
        force,
        lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
    )
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        for cut, path in zip(report.kept, report.files, strict=True):
            left, top, right, bottom = cut.box
            typer.echo(
                f"kept      {path}  frames {cut.start} to {cut.end}, box {right - left}x{bottom - top}+{left}+{top}"
            )
        for one in report.rejected:
            left, top, right, bottom = one.box
            typer.echo(
                f"rejected  {one.video}  frames {one.start} to {one.end}, "
                f"box {right - left}x{bottom - top}+{left}+{top}: {one.reason}"
            )
        for path in report.sheets:
            typer.echo(f"sheet     {path}")
    for path, reason in report.broken:
        typer.echo(f"{path}: {reason}", err=True)
    if not report.kept:
        raise FommError("Not one clip was kept.", "The list says why; --min-frames, --min-size and --find decide.")
    if report.broken:
        raise typer.Exit(1)


def _videos(named: list[Path]) -> list[Path]:
    """The files; a folder stands for the videos in it."""
    from fomm_cli.data.clips import VIDEOS
    from fomm_cli.media.sequence import natural_key

    found: list[Path] = []
    for path in named:
        if path.is_dir():
            inside = [
                file for file in path.iterdir() if file.suffix.lower() in VIDEOS and not file.name.startswith(".")
            ]
            if not inside:
                raise FommError(f"{path} holds no videos.", "Name the videos themselves.")
            found += sorted(inside, key=lambda file: natural_key(file.name))
        elif path.is_file():
            found.append(path)
        else:
            raise FommError(f"{path} does not exist.", "Check the path.")
    return list(dict.fromkeys(found))


def _finder(find: str, detector: Path | None, rules: Rules) -> Callable[[], Finder]:
    from fomm_cli.boxes import parse_box
    from fomm_cli.detectors.faces import FaceDetector
    from fomm_cli.detectors.tracking import BoxFinder, GivenBox, MotionFinder

    given = parse_box(find)
    if given is not None:
        edges = given.edges
        return lambda: GivenBox(edges, rules.max_frames)
    if find == "motion":
        return lambda: MotionFinder(rules.max_frames)
    if find == "face":
        faces = FaceDetector(detector)
        return lambda: BoxFinder(faces, rules)
    raise typer.BadParameter(f"{find!r} is not one of face, motion, x,y,w,h.", param_hint="--find")

"""`fomm dataset crop`: square clips of what videos show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.errors import FommError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fomm_cli.detectors.tracking import Finder, Rules


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
    kind: str = typer.Option("packed", "--format", metavar="packed|mp4|png", help="How clips are stored."),
    partition: str = typer.Option("train", "--partition", metavar="train|test", help="The folder in DIR they go to."),
    force: bool = typer.Option(False, "--force", help="Crop again what DIR/metadata.csv lists already."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Find, track and cut square clips: one fixed box a track, nothing squashed.

    DIR/metadata.csv repeats the crop elsewhere: fomm dataset fetch DIR/metadata.csv --videos FOLDER --out OTHER.
    """
    from rich.console import Console

    from fomm_cli.acquire.crop import Keep, crop_videos
    from fomm_cli.acquire.cutting import Style
    from fomm_cli.detectors.tracking import Rules

    if partition not in ("train", "test"):
        raise typer.BadParameter(f"{partition!r} is neither train nor test.", param_hint="--partition")
    if kind not in ("packed", "mp4", "png"):
        raise typer.BadParameter(f"{kind!r} is not one of packed, mp4, png.", param_hint="--format")
    chosen: Any = kind
    rules = Rules(iou, max_frames, every=every)
    console = Console(stderr=True)
    report = crop_videos(
        _videos(videos),
        out,
        _finder(find, detector, rules),
        Keep(pad, min_frames, min_size, partition),
        Style(size, chosen, "square"),
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

"""`fomm batch`: many sources, many drivings, one engine; goes on where it stopped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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
)
from fomm_cli.commands.pictures import (
    Background,
    BadgeChoice,
    ColourChoice,
    ColourMatch,
    Detail,
    FaceChoice,
    Feather,
    Key,
    MarkChoice,
    MarkKind,
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
from fomm_cli.errors import FommError, counted


def batch(
    sources: list[str] = typer.Option(NONE, "--sources", metavar="PATH", help="Picture, folder or glob. Repeatable."),
    drivings: list[str] = typer.Option(
        NONE, "--drivings", metavar="PATH", help="Clip, motion file, folder of them or glob. Repeatable."
    ),
    output: Path = typer.Option(..., "-o", "--output", metavar="DIR", help="Where results and batch.jsonl go."),
    zipped: bool = typer.Option(False, "--zip", help="First with first, second with second, instead of all with all."),
    pairs: Path | None = typer.Option(
        None, "--pairs", metavar="CSV", help="A list with columns source and driving, instead of the two above."
    ),
    root: Path | None = typer.Option(None, "--root", metavar="DIR", help="What the list's names are relative to."),
    name: str = typer.Option(
        "{source}-{driving}.mp4", "--name", metavar="PATTERN", help="Of results: {source}, {driving}, {index}."
    ),
    weights: Weights = None,
    mode: ModeChoice = None,
    adapt_scale: AdaptScale = None,
    anchor: str = typer.Option(
        "auto", "--anchor", metavar="auto|first|N", help="The driving frame that stands for the source's pose."
    ),
    crop_source: str = typer.Option(
        "auto", "--crop-source", metavar="CROP", help="auto, center, pad, face or x,y,w,h."
    ),
    crop_driving: str = typer.Option(
        "auto", "--crop-driving", metavar="CROP", help="auto, center, pad, face, motion or x,y,w,h."
    ),
    size: Size = None,
    max_size: MaxSize = None,
    detail: Detail = 1.0,
    paste_back: PasteBack = None,
    faces: FaceChoice = NONE,
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
    layout: Layout = typer.Option(Layout.RESULT, "--layout", help="What results show."),
    audio: Audio = typer.Option(Audio.DRIVING, "--audio", help="The sound."),
    audio_track: AudioTrack = None,
    start: Start = "0",
    end: End = None,
    allow_damaged: AllowDamaged = False,
    crf: Crf = 18,
    background: Background = "keep",
    matte: Matte = None,
    mark: MarkChoice = MarkKind.TAG,
    badge: BadgeChoice = None,
    sign: Sign = None,
    key: Key = None,
    timestamp: Timestamp = None,
    redo: bool = typer.Option(False, "--redo", help="Do again what is done."),
    retry_failed: bool = typer.Option(False, "--retry-failed", help="Try again what failed before."),
    stop_on_error: bool = typer.Option(False, "--stop-on-error", help="Leave the rest once one has failed."),
    cache: str = typer.Option("512M", "--cache", metavar="BYTES", help="Of sources and motions kept: 512M, 2G."),
    sheet: Path | None = typer.Option(
        None, "--sheet", metavar="FILE", help="Also a picture of all results: a row a source, moments of each driving."
    ),
    shard: str | None = typer.Option(
        None, "--shard", metavar="I/N", help="Share I of N of the work; under torchrun or SLURM that of the rank."
    ),
    gpus: int = typer.Option(1, "--gpus", metavar="N", min=1, help="Processes, one a GPU."),
    device: Device = "auto",
    engine: EngineChoice = EngineName.AUTO,
    precision: Precision = PrecisionName.AUTO,
    cuda_graphs: bool = typer.Option(False, "--cuda-graphs", help="Record the GPU's kernels once and replay them."),
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Animate every source by every driving.

    A driving is detected once, a source encoded once; a failure costs one result. The same command goes on where it was
    stopped, however that was.
    """
    from rich.console import Console

    from fomm_cli.animate.backdrop import check_alpha, parse_background
    from fomm_cli.animate.batch import Wishes, animate_batch
    from fomm_cli.animate.crops import check_crop
    from fomm_cli.animate.overview import overview
    from fomm_cli.animate.settings import Settings, parse_anchor, parse_size, parse_time
    from fomm_cli.animate.worklist import gather, product, read_pairs
    from fomm_cli.animate.worklist import zipped as in_order
    from fomm_cli.commands.animate import _usage, opened
    from fomm_cli.commands.progress import frame_progress
    from fomm_cli.files.disk import check_free
    from fomm_cli.media.image import write_image
    from fomm_cli.media.signing import check_signable
    from fomm_cli.media.write import check_suffix
    from fomm_cli.shards import parse_shard, shard_of_environment

    steering = controls(motion_scale, head, expression, lock, smooth, clamp, loop)
    _usage("--anchor", parse_anchor, anchor)
    _usage("--crop-source", lambda text: check_crop(text, still=True), crop_source)
    _usage("--crop-driving", check_crop, crop_driving)
    if size is not None:
        _usage("--size", parse_size, size)
    _usage("--background", parse_background, background)
    pasted = paste(paste_back, faces, [], "hold", pin, feather, colour_match, crop_source, size, loop)
    if (pairs is None) == (not (sources and drivings)) or (pairs is not None and (sources or drivings or zipped)):
        raise typer.BadParameter("Give --sources and --drivings, or --pairs.", param_hint="'--sources'")
    if sheet is not None:
        if gpus > 1 or shard:
            raise typer.BadParameter("A share has no sheet; call again without shares for it.", param_hint="'--sheet'")
        check_free(sheet, force)
    if gpus > 1:
        _told(_in_processes(gpus), as_json)
        return
    notes: list[str] = []
    console = Console(stderr=True, highlight=False)
    if pairs is not None:
        items, notes = read_pairs(pairs, root, name)
    else:
        found = gather(sources, drivings=False), gather(drivings, drivings=True)
        try:
            items = in_order(*found, name) if zipped else product(*found, name)
        except FommError as error:
            raise typer.BadParameter(f"{error.what} {error.hint}", param_hint="'--name'") from error
    for item in items:
        _usage("--name", check_suffix, Path(item.output))
        if background == "alpha" and layout == "result":
            _usage("--name", check_alpha, Path(item.output))
        if sign is not None:
            _usage("--sign", check_signable, Path(item.output))
    for said in notes:
        console.print(f"[yellow]Note:[/] {said}", soft_wrap=True)
    share = parse_shard(shard) if shard else shard_of_environment()
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
        matte=matte,
        mark=str(mark),
        badge=None if badge is None else str(badge),
        sign=credentials(sign, key, timestamp),
        options=tuple(options),
        begin=_usage("--start", parse_time, start),
        end=None if end is None else _usage("--end", parse_time, end),
        audio_track=audio_track,
        allow_damaged=allow_damaged,
    )
    wishes = Wishes(weights, layout, redo, retry_failed, force, stop_on_error, _bytes(cache))
    with frame_progress(console) as progress:
        outcomes = animate_batch(
            items,
            output,
            lambda chosen: opened(chosen, _own(device), engine, precision, console, cuda_graphs),
            settings,
            wishes,
            share,
            progress,
        )
    if sheet is not None:
        write_image(sheet, overview(outcomes, output), force)
    _told(outcomes, as_json)


def _told(outcomes: list[dict[str, Any]], as_json: bool) -> None:
    """The outcomes on stdout; exit code 1 if any failed, but under torchrun, which would stop the other shares."""
    if as_json:
        typer.echo(json.dumps(outcomes, indent=2))
    else:
        _show(outcomes)
    if any("error" in outcome for outcome in outcomes) and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise typer.Exit(1)


def _in_processes(count: int) -> list[dict[str, Any]]:
    """The same command in `count` processes, each with its share and its GPU; what became of all items."""
    words, skip = [], False
    for word in sys.argv[1:]:
        if not (skip or word == "--gpus" or word.startswith("--gpus=")):
            words.append(word)
        skip = word == "--gpus"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "fomm_cli", *words, "--json", "--shard", f"{rank + 1}/{count}"],
            env={**os.environ, "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    outcomes: list[dict[str, Any]] = []
    try:
        for process in processes:
            said = process.communicate()[0]
            if process.returncode not in (0, 1) or not said:
                raise FommError(f"A process ended with {process.returncode}.", "The same command goes on from here.")
            outcomes += json.loads(said)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    return sorted(outcomes, key=lambda outcome: outcome["index"])


def _show(outcomes: list[dict[str, Any]]) -> None:
    """A line a result; then how many there are of each kind."""
    width = max((len(outcome["output"]) for outcome in outcomes), default=0)
    for outcome in outcomes:
        if "error" in outcome:
            told = outcome["error"]["what"]
        elif "frames" in outcome:
            told = f"{outcome['frames']} frames, {outcome['fps']:.1f} fps"
            if outcome["pose_distance"] is not None:
                told += f", anchor {outcome['anchor']}, pose distance {outcome['pose_distance']:.2f}"
        else:
            told = ""
        typer.echo(f"{outcome['output']:<{width}}  {outcome['status']:<7}  {told}".rstrip())
    kinds = [outcome["status"] for outcome in outcomes]
    parts = [f"{kinds.count(kind)} {kind}" for kind in ("done", "skipped", "failed") if kind in kinds]
    typer.echo(f"{counted(len(outcomes), 'result')}: {', '.join(parts) or 'nothing to do'}", err=True)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,12})([KMG]?)B?", text.strip().upper())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no number of bytes. Write 512M or 2G.", param_hint="'--cache'")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def _own(device: str) -> str:
    """Under torchrun `auto` and `cuda` are this process's own GPU, where there is one."""
    rank = os.environ.get("LOCAL_RANK", "")
    if device not in {"auto", "cuda"} or not rank.isdigit():
        return device
    from fomm_cli.device import resolve

    if resolve(device).type != "cuda":
        return device
    import torch

    return f"cuda:{int(rank) % torch.cuda.device_count()}"

"""`fomm dataset fetch`: clips of a published or own list, cut out of videos from the web; `status`: how far that is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.commands.options import ClipFormat, Fit, Json, Partition
from fomm_cli.errors import FommError

if TYPE_CHECKING:
    from fomm_cli.acquire.manifest import Summary
    from fomm_cli.acquire.table import Table
    from fomm_cli.acquire.workers import Job


_FROM, _PATIENCE = "Where videos come from", "How patiently"


def fetch(
    source: str = typer.Argument(
        ..., metavar="NAME|FILE.csv", help="vox, taichi, a metadata table; or mgif, fashion, nemo, bair."
    ),
    out: Path | None = typer.Option(None, "--out", "-o", metavar="DIR", help="Where clips go: DIR/train, DIR/test."),
    partition: Partition | None = typer.Option(None, "--partition", help="Only this part."),
    subset: int | None = typer.Option(None, "--subset", metavar="N", min=1, help="Only the first N clips of it."),
    size: int = typer.Option(256, "--size", metavar="PX", min=16, max=2048, help="Both sides of the clips."),
    kind: ClipFormat = typer.Option(ClipFormat.PACKED, "--format", help="How clips are stored."),
    fit: Fit | None = typer.Option(None, "--fit", help="Boxes as published (vox, taichi), or made square (others)."),
    workers: int = typer.Option(4, "--workers", metavar="N", min=1, max=64, help="Videos at once."),
    shard: str | None = typer.Option(
        None, "--shard", metavar="I/N", help="Share I of N of the videos; under torchrun or SLURM that of the rank."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the clips that would be cut; touch nothing."),
    retry: str | None = typer.Option(
        None, "--retry", metavar="REASON,...", help="Try again what failed for these reasons, or `all`."
    ),
    videos: Path | None = typer.Option(
        None, "--videos", metavar="DIR", help="Take ID.mp4 ... from a folder instead.", rich_help_panel=_FROM
    ),
    template: str | None = typer.Option(
        None,
        "--url-template",
        metavar="URL",
        help="Another source, such as https://host/{video_id}.mp4.",
        rich_help_panel=_FROM,
    ),
    keep: bool = typer.Option(False, "--keep-videos", help="Keep whole videos in DIR/videos.", rich_help_panel=_FROM),
    cookies: Path | None = typer.Option(
        None, "--cookies", metavar="FILE", help="A cookies.txt file.", rich_help_panel=_FROM
    ),
    browser: str | None = typer.Option(
        None,
        "--cookies-from-browser",
        metavar="NAME",
        help="Use the cookies of a browser, such as firefox.",
        rich_help_panel=_FROM,
    ),
    rate: str | None = typer.Option(
        None, "--rate", metavar="BYTES", help="At most so much a second, such as 2M.", rich_help_panel=_PATIENCE
    ),
    sleep: float = typer.Option(
        0.0, "--sleep", metavar="SECONDS", min=0.0, help="Wait before each download.", rich_help_panel=_PATIENCE
    ),
    height: int = typer.Option(
        720, "--height", metavar="PX", min=144, help="The video size to ask for.", rich_help_panel=_FROM
    ),
    max_size: str = typer.Option(
        "8G", "--max-size", metavar="BYTES", help="Pass over larger video files.", rich_help_panel=_PATIENCE
    ),
    max_hours: float = typer.Option(
        6.0, "--max-hours", metavar="H", min=0.01, help="Pass over longer videos.", rich_help_panel=_PATIENCE
    ),
    max_wait: float = typer.Option(
        3600.0, "--max-wait", metavar="SECONDS", min=1.0, help="Give up slower downloads.", rich_help_panel=_PATIENCE
    ),
    timeout: float = typer.Option(
        20.0,
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        help="When a silent connection is dead.",
        rich_help_panel=_PATIENCE,
    ),
    retries: int = typer.Option(
        5, "--retries", metavar="N", min=0, help="Tries to mend a broken connection.", rich_help_panel=_PATIENCE
    ),
    backoff: float = typer.Option(
        60.0, "--backoff", metavar="SECONDS", min=0.1, help="First pause if rate-limited.", rich_help_panel=_PATIENCE
    ),
    patience: float = typer.Option(
        6.0, "--patience", metavar="HOURS", min=0.0, help="Stop after so long a pause.", rich_help_panel=_PATIENCE
    ),
    archive: Path | None = typer.Option(
        None,
        "--archive",
        metavar="FILE|DIR",
        help="The downloaded archive of mgif, fashion, nemo or bair.",
        rich_help_panel=_FROM,
    ),
    as_json: Json = False,
) -> None:
    """Fetch a data set: download its videos, cut its clips, note every outcome.

    Run it again to go on where it stopped. Sets that are handed out as archives are imported with --archive.
    """
    import os

    from fomm_cli.acquire import sets

    if source.lower() in sets.ARCHIVE_SETS:
        _archive(source.lower(), archive, out, size, kind, fit, as_json)
        return
    if archive is not None:
        raise FommError(f"--archive goes with {', '.join(sets.ARCHIVE_SETS)}, not with {source}.")
    if out is None and not dry_run:
        raise typer.BadParameter("it is needed.", param_hint="--out")
    if videos is not None and template is not None:
        raise typer.BadParameter("not together with --url-template.", param_hint="--videos")
    if videos is not None and not videos.is_dir():
        raise FommError(f"{videos} is no folder.", "Give the folder that holds the videos.")

    from fomm_cli.acquire.addresses import YOUTUBE, check_template
    from fomm_cli.acquire.cutting import Style
    from fomm_cli.acquire.supply import Wishes, parse_browser, read_cookies
    from fomm_cli.acquire.table import select
    from fomm_cli.acquire.workers import Job
    from fomm_cli.shards import parse_shard, shard_of_environment

    if cookies is not None:
        read_cookies(cookies)
    if browser is not None:
        parse_browser(browser)
    limit, most = _bytes("--rate", rate or "0"), _bytes("--max-size", max_size)
    share = parse_shard(shard) if shard else shard_of_environment()
    again = _reasons(retry)
    address = check_template(template) if template else YOUTUBE
    table, usual = _table(source)
    job = Job(
        cuts=select(table.cuts, partition, subset, share),
        out=out or Path(),
        style=Style(size, kind.value, fit.value if fit else usual),
        wishes=Wishes(
            template=address,
            cookies=cookies,
            browser=browser,
            rate=limit,
            sleep=sleep,
            height=height,
            max_bytes=most,
            max_seconds=max_hours * 3600,
            max_wait=max_wait,
            timeout=timeout,
            retries=retries,
        ),
        shard=share,
        workers=workers,
        retry=again,
        keep=keep,
        videos=videos,
        backoff=backoff,
        patience=patience * 3600,
        threads=max(1, (os.cpu_count() or 1) // workers),
    )
    if dry_run:
        _show_plan(job, table, as_json)
    else:
        _run(job, table, as_json)


def _table(source: str) -> tuple[Table, Any]:
    """The list that a name or a file stands for, and how its boxes are meant."""
    from fomm_cli.acquire import sets
    from fomm_cli.acquire.table import read_table

    path = Path(source)
    chosen = None if path.is_file() else sets.video_set(source)
    if chosen is not None:
        return read_table(sets.metadata(chosen)), chosen.fit
    if not path.is_file():
        raise sets.unknown(source)
    known = {chosen.sha256: chosen.fit for chosen in sets.VIDEO_SETS.values()}
    from fomm_cli.files.disk import sha256

    if sha256(path) == sets.TED_SHA256:
        raise sets.no_ted()
    return read_table(path), known.get(sha256(path), "square")


def _bytes(option: str, text: str) -> int:
    """2M, 800K, 1.5G or a plain number of bytes."""
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:].upper(), 1)
    try:
        value = int(float(text.rstrip("KMGTkmgt")) * factor)
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise typer.BadParameter(f"{text!r} is no number of bytes, such as 2M.", param_hint=option)
    return value


def _reasons(text: str | None) -> frozenset[Any]:
    from fomm_cli.acquire.reasons import Reason

    if text is None:
        return frozenset()
    if text == "all":
        return frozenset(Reason)
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if word not in set(Reason)]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not one of {', '.join(Reason)}, all.", param_hint="--retry")
    return frozenset(Reason(word) for word in words)


def _show_plan(job: Job, table: Table, as_json: bool) -> None:
    """The clips of the job, at the size of the table's pictures and at its rate: nothing is looked at but the table."""
    from fomm_cli.acquire.table import crop_of

    crops = [crop_of(cut, cut.width, cut.height, job.style.fit) for cut in job.cuts]
    seconds = [float((cut.end - cut.start) / cut.fps) for cut in job.cuts]
    if as_json:
        clips = [
            {
                "clip": cut.name,
                "file": str(job.style.file(Path(), cut)),
                "video": cut.video,
                "partition": cut.partition,
                "frames": [cut.start, cut.end],
                "fps": str(cut.fps),
                "seconds": round(length, 3),
                "picture": [cut.width, cut.height],
                "box": list(cut.box),
                "crop": list(crop),
            }
            for cut, crop, length in zip(job.cuts, crops, seconds, strict=True)
        ]
        typer.echo(json.dumps({"clips": clips, "rows": table.rows, "distinct": len(table.cuts), **job.settings}))
        return
    for cut, crop, length in zip(job.cuts, crops, seconds, strict=True):
        typer.echo(
            f"{job.style.file(Path(), cut)}  frames {cut.start} to {cut.end} at {float(cut.fps):g} fps ({length:.2f} s)"
            f"  crop {crop.width}x{crop.height}+{crop.left}+{crop.top} of {cut.width}x{cut.height} -> {job.style.size}"
        )
    videos = len({cut.video for cut in job.cuts})
    typer.echo(
        f"{len(crops)} clips of {videos} videos, {sum(seconds) / 3600:.2f} h; "
        f"the table has {table.rows} rows, {len(table.cuts)} distinct clips."
    )


def _run(job: Job, table: Table, as_json: bool) -> None:
    from rich.console import Console

    from fomm_cli.acquire.manifest import Manifest, summarize
    from fomm_cli.acquire.workers import Fetch

    if not job.cuts:
        raise FommError("No clips are left to fetch.", "Check --partition and --shard.")
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if table.repeated:
        say(f"{table.rows} rows, {len(table.cuts)} distinct clips ({table.moved} in both partitions count as test)")
    with Manifest(job.out, job.shard, job.settings) as manifest:
        try:
            Fetch(job, manifest, say).run()
        finally:
            summary = summarize(manifest.state)
            show(summary, as_json)
    if summary.clips_done == 0:
        raise FommError(
            "Not one clip could be had.", "The table says why; `fomm dataset status DIR --failed` lists all."
        )


def _archive(
    name: str, archive: Path | None, out: Path | None, size: int, kind: ClipFormat, fit: Fit | None, as_json: bool
) -> None:
    """Tell of a set that is handed out as files, or import it."""
    from fomm_cli.acquire import sets

    chosen = sets.ARCHIVE_SETS[name]
    if archive is None:
        if as_json:
            typer.echo(json.dumps(chosen.__dict__))
            return
        typer.echo(f"{chosen.title}\nHome:  {chosen.home}\nTerms: {chosen.terms}\nNote:  {chosen.note}")
        typer.echo(f"When you have it: fomm dataset fetch {name} --archive FILE_OR_FOLDER --out DIR")
        return
    if out is None:
        raise typer.BadParameter("it is needed.", param_hint="--out")
    from rich.console import Console

    from fomm_cli.acquire.archives import import_archive
    from fomm_cli.acquire.cutting import Style

    console = Console(stderr=True)
    console.print(f"Terms of {name}: {chosen.terms}", markup=False, highlight=False, soft_wrap=True)
    style = Style(size, kind.value, fit.value if fit else "stretch")
    report = import_archive(
        archive, out, style, lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)
    )
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        parts = ", ".join(f"{count} {partition or 'clips'}" for partition, count in report.clips.items())
        kept = f" ({report.kept} were there already)" if report.kept else ""
        typer.echo(f"{out}: {parts}, {report.frames} frames{kept}; {len(report.skipped)} files left out.")
    if not report.clips:
        raise FommError(f"{archive} holds no clips.", "Expected are videos, GIFs, film strips or folders of images.")


def status(
    folder: Path = typer.Argument(..., metavar="DIR", help="The --out folder of `fomm dataset fetch`."),
    failed: bool = typer.Option(False, "--failed", help="List every video and clip that failed, with the message."),
    as_json: Json = False,
) -> None:
    """Show how far a set is fetched. The manifests of several machines in one folder count together."""
    from fomm_cli.acquire.manifest import read_state, summarize

    state = read_state(folder) if folder.is_dir() else None
    if state is None or not (state.plans or state.clips or state.videos):
        raise FommError(f"{folder} holds no manifest.", "Give the --out folder of `fomm dataset fetch`.")
    lost = [
        {"kind": kind, "name": name, "reason": record.reason, "message": record.message}
        for kind, records in (("video", state.videos), ("clip", state.clips))
        for name, record in records.items()
        if record.state == "failed" and (kind == "video" or state.videos.get(record.video, record).state != "failed")
    ]
    if as_json:
        typer.echo(json.dumps({**summarize(state).as_json(), **({"failures": lost} if failed else {})}))
        return
    show(summarize(state))
    for entry in lost if failed else ():
        typer.echo(f"{entry['kind']} {entry['name']}: {entry['reason']}: {entry['message']}")


def show(summary: Summary, as_json: bool = False) -> None:
    """The final table: videos and clips done, failed by reason, and still to come."""
    from fomm_cli.acquire.reasons import ADVICE, Reason

    if as_json:
        typer.echo(json.dumps(summary.as_json()))
        return
    reasons = sorted(summary.videos_failed | summary.clips_failed)
    rows = [
        (
            "done",
            summary.videos_done,
            summary.clips_done,
            ", ".join(f"{n} {part}" for part, n in summary.partitions.items()),
        ),
        *(
            (reason, summary.videos_failed.get(reason, 0), summary.clips_failed.get(reason, 0), ADVICE[Reason(reason)])
            for reason in reasons
            if reason in set(Reason)
        ),
        (
            "to come",
            summary.videos - summary.videos_done - sum(summary.videos_failed.values()),
            summary.clips - summary.clips_done - sum(summary.clips_failed.values()),
            "",
        ),
        ("total", summary.videos, summary.clips, f"{summary.frames} frames"),
    ]
    typer.echo(f"{'':<13}{'videos':>8}{'clips':>9}")
    for name, videos, clips, note in rows:
        typer.echo(f"{name:<13}{videos:>8}{clips:>9}  {note}".rstrip())

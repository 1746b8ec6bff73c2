"""`fomm dataset status`: what a fetched folder holds and what is missing, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fomm_cli.errors import FommError

if TYPE_CHECKING:
    from fomm_cli.acquire.manifest import Summary


def status(
    folder: Path = typer.Argument(..., metavar="DIR", help="The --out folder of `fomm dataset fetch`."),
    failed: bool = typer.Option(False, "--failed", help="List every video and clip that failed, with the message."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
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

"""`fomm eval`: measure weights. Options become a request, `evaluate` answers it, the table is printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.commands.options import Device, Force, Json, Offline
from fomm_cli.errors import FommError, counted, nearest
from fomm_cli.evaluate.metrics import defaults, names

if TYPE_CHECKING:
    from fomm_cli.evaluate.run import Result
    from fomm_cli.evaluate.setup import Request
    from fomm_cli.evaluate.tasks import Task

eval_app = typer.Typer(
    name="eval",
    no_args_is_help=True,
    help="Measure weights: reconstruction, animation, and what the metrics are made of.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

WEIGHTS = typer.Option([], "--weights", "-w", metavar="NAME|FILE", help="What to measure. Repeatable: one table.")
BASELINE = typer.Option([], "--baseline", metavar="NAME", help="A floor in the same table: copy. Repeatable.")
DETECTORS = typer.Option("face", "--detectors", metavar="NAME", help="For AKD, MKR, AED: see `fomm eval detectors`.")
NETWORK = typer.Option([], "--network", metavar="NAME=FILE", help="A detector's network by path. Repeatable.")
LPIPS = typer.Option(None, "--lpips-weights", metavar="FILE", help="torchvision's AlexNet, for LPIPS; else downloaded.")
FID = typer.Option(None, "--fid-weights", metavar="FILE", help="torch-fidelity's Inception, for FID; else downloaded.")
PART = typer.Option("test", "--part", metavar="test|all", help="Which clips of the set.")
SPLIT = typer.Option(None, "--split", metavar="FILE", help="Names of the test clips, one a line, instead of the set's.")
SIZE = typer.Option(None, "--size", metavar="PX", min=16, help="Side of the frames; the weights' own by default.")
BATCH = typer.Option(8, "--batch", metavar="N", min=1, help="Frames at once.")
SEED = typer.Option(0, "--seed", min=0, help="Of the split, random pairs or people, and the bootstrap.")
ADAPT = typer.Option(True, "--adapt-scale/--no-adapt-scale", help="As in `fomm animate`.")
IDENTITIES = typer.Option(200, "--identities", metavar="N", min=1, help="Cartoon faces: how many held-out people.")
FRAMES = typer.Option(8, "--frames", metavar="N", min=1, help="Cartoon faces: driving frames, 1/3 second apart.")
OUT = typer.Option(
    None, "--out", "-o", metavar="DIR", help="Write results.json and report.html there; the same command resumes."
)


@eval_app.command()
def reconstruction(
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    weights: list[str] = WEIGHTS,
    baseline: list[str] = BASELINE,
    metrics: str = typer.Option(
        ",".join(defaults("reconstruction")),
        "--metrics",
        metavar="LIST",
        help=f"Of {','.join(names('reconstruction'))}.",
    ),
    detectors: str = DETECTORS,
    network: list[str] = NETWORK,
    lpips_weights: Path | None = LPIPS,
    fid_weights: Path | None = FID,
    part: str = PART,
    split: Path | None = SPLIT,
    paper: str = typer.Option(
        "auto", "--paper", metavar="SET", help="Show the paper's rows for vox, taichi, nemo or bair; auto, none."
    ),
    size: int | None = SIZE,
    batch: int = BATCH,
    seed: int = SEED,
    limit: int = typer.Option(0, "--limit", metavar="N", min=0, help="Only the first N clips; 0 = all."),
    device: Device = "auto",
    out: Path | None = OUT,
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure how well weights rebuild the test clips from their first frames.

    Every frame counts, the first included, as in the published evaluation. Frames are compared as the network
    makes them, before any video encoding. Under torchrun the clips are shared among the processes.
    """
    from fomm_cli.evaluate.setup import Request
    from fomm_cli.evaluate.tasks import Reconstruction

    request = Request(
        weights=weights,
        baselines=baseline,
        metrics=metrics.split(","),
        detectors=detectors,
        networks=_networks(network),
        lpips=lpips_weights,
        inception=fid_weights,
        size=size,
        batch=batch,
        device=device,
    )
    _show(_ask(Reconstruction.of(data, part, split, limit, paper, seed), request, out, force), as_json)


@eval_app.command()
def animation(
    data: str = typer.Option("toon", "--data", metavar="toon|DIR", help="The procedural set, or a set of real clips."),
    weights: list[str] = WEIGHTS,
    baseline: list[str] = typer.Option(["copy"], "--baseline", metavar="NAME", help="A floor in the table."),
    mode: str = typer.Option("relative,absolute", "--mode", metavar="LIST", help="Of relative, absolute, avd."),
    metrics: str | None = typer.Option(
        None,
        "--metrics",
        metavar="LIST",
        help=f"toon: {','.join(names('toon'))}. Real clips: {','.join(names('pairs'))}.",
    ),
    identities: int = IDENTITIES,
    frames: int = FRAMES,
    pairs: Path | None = typer.Option(None, "--pairs", metavar="CSV", help="Real clips: source,driving[,frame]."),
    count: int = typer.Option(50, "--count", metavar="N", min=1, help="Real clips: random pairs, without --pairs."),
    adapt_scale: bool = ADAPT,
    detectors: str = DETECTORS,
    network: list[str] = NETWORK,
    lpips_weights: Path | None = LPIPS,
    fid_weights: Path | None = FID,
    part: str = PART,
    split: Path | None = SPLIT,
    size: int | None = SIZE,
    batch: int = BATCH,
    seed: int = SEED,
    device: Device = "auto",
    out: Path | None = OUT,
    offline: Offline = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure how well weights bring one subject to life with the motion of another.

    On `toon` the true answer is known and is compared with, on people nobody trained on. On real clips detectors tell
    whether the pose is followed and the identity kept.
    """
    from fomm_cli.evaluate.methods import Mode
    from fomm_cli.evaluate.setup import Request
    from fomm_cli.evaluate.tasks import MODES, PairAnimation, ToonAnimation
    from fomm_cli.weights.catalogue import DEFAULT

    known: tuple[Mode, ...] = (*MODES, "avd")
    asked = [name.strip() for name in mode.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise FommError(f"There is no mode {name!r}.", nearest(name, list(known)))
    modes = tuple(name for name in known if name in asked)
    on_toon = data == "toon"
    request = Request(
        weights=weights or ([DEFAULT] if on_toon else []),
        baselines=baseline,
        metrics=metrics.split(",") if metrics is not None else (),
        detectors=detectors,
        networks=_networks(network),
        lpips=lpips_weights,
        inception=fid_weights,
        size=size,
        batch=batch,
        device=device,
    )
    task: Task
    if on_toon:
        task = ToonAnimation(identities, frames, modes, adapt_scale, seed)
    else:
        task = PairAnimation.of(data, pairs, count, modes, adapt_scale, part, split, seed)
    _show(_ask(task, request, out, force), as_json)


@eval_app.command()
def toon(
    weights: list[str] = WEIGHTS,
    identities: int = IDENTITIES,
    frames: int = FRAMES,
    size: int | None = SIZE,
    seed: int = SEED,
    adapt_scale: bool = ADAPT,
    device: Device = "auto",
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Four numbers that tell whether weights animate cartoon faces well.

    People and motions come from the half of the procedural set that no training can draw. Ratios are L1 over that of
    copying the source: 1 means no better than a still picture.
    """
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate.toon import check_weights
    from fomm_cli.weights.catalogue import DEFAULT

    keep_freed_memory()
    with _bar() as (say, step):
        found = check_weights(weights or [DEFAULT], identities, frames, size, seed, adapt_scale, device, say, step)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print_check(found["weights"], "Held-out cartoon faces: L1 over that of copying the source")


@eval_app.command()
def faces(
    data: Path = typer.Option(..., "--data", metavar="DIR", help="Real clips that nobody trained on."),
    puppets: Path | None = typer.Option(
        None, "--puppets", metavar="DIR", help="Held-out portraits, of `fomm dataset synth portraits --pairs`."
    ),
    weights: list[str] = WEIGHTS,
    identities: int = typer.Option(50, "--identities", metavar="N", min=0, help="Held-out cartoon faces; 0: none."),
    limit: int = typer.Option(0, "--limit", metavar="N", min=0, help="Only the first N clips of each kind; 0 = all."),
    seed: int = SEED,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Whether weights animate faces well: real clips, true answers of moved portraits, eyes and mouths, cartoons.

    Ratios are L1 over that of copying the source, clips weighing alike: 1 means no better than a still picture.
    """
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate.health import check_weights
    from fomm_cli.weights.catalogue import DEFAULT

    keep_freed_memory()
    with _bar() as (say, step):
        found = check_weights(data, weights or [DEFAULT], puppets, identities, limit, device, seed, say, step)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print_check(found["weights"], "Faces: L1 over that of copying the source")


@eval_app.command()
def detectors(as_json: Json = False) -> None:
    """List the detectors: what each measures, its licence and source, whether it is ready, and how to get it."""
    from fomm_cli.detectors.choice import SUITES, available
    from fomm_cli.detectors.networks import NETWORKS

    if as_json:
        of_suite = ("name", "does", "metrics", "networks", "licence", "source", "install")
        of_network = ("name", "does", "licence", "source", "urls", "sha256")
        suites = [
            {**{key: getattr(suite, key) for key in of_suite}, "installed": available(suite)}
            for suite in SUITES.values()
        ]
        networks = [
            {
                **{key: getattr(network, key) for key in of_network},
                "cached": network.cached.is_file(),
                "file": str(network.cached),
            }
            for network in NETWORKS.values()
        ]
        typer.echo(json.dumps({"detectors": suites, "networks": networks}, indent=2))
        return
    typer.secho("Detectors (--detectors NAME)", bold=True)
    for suite in SUITES.values():
        ready = "installed" if available(suite) else f"not installed: {suite.install}"
        typer.echo(f"{suite.name:<16}{suite.does} · {', '.join(suite.metrics).upper()} · {ready}")
        origin = f"networks {', '.join(suite.networks)}" if suite.networks else suite.source
        typer.echo(f"{'':<16}{suite.licence} · {origin}")
    typer.secho("\nNetworks (--network NAME=FILE; fetched on first use otherwise)", bold=True)
    for network in NETWORKS.values():
        here = "here" if network.cached.is_file() else "not fetched yet"
        typer.echo(f"{network.name:<16}{network.does} · {here}")
        typer.echo(f"{'':<16}{network.licence} · {network.source}")
        typer.echo(f"{'':<16}sha256 {network.sha256}")


def _networks(given: list[str]) -> dict[str, Path]:
    """`NAME=FILE` options as a mapping."""
    files = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path:
            hint = "Write NAME=FILE, as in face-box=rfb.onnx; `fomm eval detectors` lists the names."
            raise FommError(f"{text!r} does not say which network a file is.", hint)
        files[name] = Path(path)
    return files


@contextmanager
def _bar() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int], None]]]:
    """`say` and `step` of a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def say(text: str) -> None:
            console.print(text, markup=False)

        def step(name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=name)

        yield say, step


def _ask(task: Task, request: Request, out: Path | None, force: bool) -> Result:
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate.run import evaluate

    keep_freed_memory()
    with _bar() as (say, step):
        return evaluate(task, request, out, force, say, step)


def _show(result: Result, as_json: bool) -> None:
    """Metrics in rows and methods in columns: it stays readable in a narrow terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fomm_cli.evaluate import page

    report = result.report
    if not result.first:
        return
    if as_json:
        typer.echo(json.dumps(report, indent=2, allow_nan=False))
        return
    table = Table(title=f"{report['task'].capitalize()}: {page.seen(report)}", show_lines=True)
    table.add_column("")
    for name in page.columns(report):
        table.add_column(escape(name), justify="right")
    for metric, cells in page.rows(report):
        shown = ["\n".join([first, *(f"[dim]{escape(line)}[/dim]" for line in others)]) for first, *others in cells]
        table.add_row(metric.heading, *shown)
    Console().print(table)
    errors = Console(stderr=True)
    for note in report["notes"]:
        errors.print(f"Note: {note}", style="yellow", markup=False)
    for item in report["skipped"]:
        errors.print(f"Skipped {item['name']}: {item['reason']}", style="yellow", markup=False)
    if result.page is not None:
        typer.echo(f"{result.page}")


def _print_check(found: dict[str, Any], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "target", *found, title=title)
    for key, part in next(iter(found.values())).items():
        goal = f"at most {part['at_most']}" if "at_most" in part else f"at least {part['at_least']}"
        cells = []
        for summary in found.values():
            each = summary[key]
            value, (low, high) = each.get("ratio", each.get("value")), each["interval"]
            around = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
            worse = f", {each['worse']} of {counted(len(each['clips']), 'clip')} above 1" if "worse" in each else ""
            cells.append("-" if value is None else f"{value:.3f}{around}{worse} {'✓' if each['reached'] else '✗'}")
        table.add_row(key, goal, *cells)
    Console().print(table)

"""`fomm eval toon`: the health check of weights for cartoon faces, against drawn truth."""

from __future__ import annotations

import json

import typer


def toon(
    weights: list[str] = typer.Option([], "--weights", "-w", metavar="NAME|FILE", help="What to check. Repeatable."),
    identities: int = typer.Option(200, "--identities", metavar="N", min=1, help="Held-out people."),
    frames: int = typer.Option(8, "--frames", metavar="N", min=1, help="Driving frames a clip, 1/3 second apart."),
    size: int | None = typer.Option(None, "--size", metavar="PX", min=16, help="Side; the weights' own by default."),
    seed: int = typer.Option(0, "--seed", min=0, help="Of the people and the bootstrap."),
    adapt_scale: bool = typer.Option(True, "--adapt-scale/--no-adapt-scale", help="As in `fomm animate`."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document instead."),
) -> None:
    """Four numbers that tell whether weights animate cartoon faces well.

    People and motions come from the half of the procedural set that no training can draw. Ratios are L1 over that of
    copying the source: 1 means no better than a still picture.
    """
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from fomm_cli import device as devices
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate.methods import methods
    from fomm_cli.evaluate.report import versions
    from fomm_cli.evaluate.setup import described
    from fomm_cli.evaluate.toon import TARGETS, check, summary
    from fomm_cli.weights.catalogue import DEFAULT

    keep_freed_memory()
    console = Console(stderr=True)
    found = {}
    place = devices.resolve(device)
    sides = {}
    names = weights or [DEFAULT]
    checked = methods(names, [], device)
    for method in checked:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(method.name, total=identities)
            side = size or (min(method.size) if method.size else 128)

            def step(count: int, bar: Progress = bar, task: TaskID = task) -> None:
                bar.update(task, completed=count)

            done = check(method, identities, frames, side, seed, adapt_scale, place, step)
        found[method.name] = summary(done)
        sides[method.name] = side
    if as_json:
        about = {"identities": identities, "frames": frames, "seed": seed, "adapt_scale": adapt_scale, "size": sides}
        about |= {"methods": described(checked, names), "versions": versions(), "device": place.type}
        typer.echo(json.dumps({**about, "targets": TARGETS, "weights": found}, indent=2))
        return
    _print(found)


def _print(found: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "target", *found, title="Held-out cartoon faces: L1 over that of copying the source")
    for key in ("reconstruction", "animation", "details", "spread"):
        cells = []
        for summary in found.values():
            part = summary[key]
            value, (low, high) = part.get("ratio", part.get("value")), part["interval"]
            around = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
            cells.append("-" if value is None else f"{value:.3f}{around} {'✓' if part['reached'] else '✗'}")
        limit = next(iter(found.values()))[key]
        goal = f"at most {limit['at_most']}" if "at_most" in limit else f"at least {limit['at_least']}"
        table.add_row(key, goal, *cells)
    Console().print(table)

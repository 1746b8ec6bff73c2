"""`fomm bench data`: pairs a second."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from fomm_cli.errors import counted


def data(
    root: Path = typer.Argument(..., metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    source: str = typer.Option(
        "vox-256", "--config", "-c", metavar="PRESET|FILE", help="Whose frame shape and augmentation to measure with."
    ),
    overrides: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key. Repeatable."),
    pairs: int = typer.Option(400, "--pairs", metavar="N", min=2, help="Pairs to draw for each number."),
    workers: int = typer.Option(1, "--workers", metavar="N", min=0, help="Processes of the loader; 0 measures none."),
    memory: float = typer.Option(
        0.0, "--memory", metavar="GIB", min=0, help="Decode clips into this much memory first, as a small set allows."
    ),
    seed: int = typer.Option(0, "--seed", help="Of the draws."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure how fast training pairs are read and augmented."""
    from fomm_cli.bench.data import bench_data
    from fomm_cli.config import reading as configs

    result = bench_data(root, configs.load(source, overrides), pairs, workers, int(memory * 2**30), seed)
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
        return
    height, width = result.frame_shape
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items())
    typer.echo(f"{result.root}: {counted(result.clips, 'training clip')} ({kinds}), {result.layout}")
    typer.echo(f"{result.pairs} pairs of {width}x{height}, {counted(result.processors, 'processor')}")
    if result.preloaded:
        typer.echo(f"{counted(result.preloaded, 'clip')} held in memory")
    typer.echo(f"read     {result.read_ms[0]:8.2f} ms a pair, median; {result.read_ms[1]:.2f} ms 95th percentile")
    typer.echo(f"augment  {result.augment_ms[0]:8.2f} ms a pair, median; {result.augment_ms[1]:.2f} ms 95th percentile")
    typer.echo(f"one process {result.pairs_per_second:8.1f} pairs/s, {result.pairs_per_cpu_second:.1f} a core-second")
    if result.loader_pairs_per_second is not None:
        each = result.loader_pairs_per_second / result.workers
        typer.echo(
            f"loader      {result.loader_pairs_per_second:8.1f} pairs/s with {result.workers} workers, {each:.1f} each"
        )
    if result.failures:
        typer.echo(f"{result.failures} draws hit a clip that cannot be read: `fomm dataset check` names it.", err=True)

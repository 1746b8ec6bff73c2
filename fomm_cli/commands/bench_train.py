"""`fomm bench train`: the time of a training step."""

from __future__ import annotations

import json

import typer


def train(
    source: str = typer.Argument(..., metavar="PRESET|FILE", help="A preset or a YAML file."),
    overrides: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key. Repeatable."),
    steps: int = typer.Option(10, "--steps", metavar="N", min=1, help="Steps to measure, after two to warm up."),
    precision: list[str] = typer.Option(["fp32", "bf16"], "--precision", help="fp32, bf16. Repeatable."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure the training step on a batch in memory: time, pairs a second, peak memory, bf16 against fp32."""
    from fomm_cli.bench.train import bench_train
    from fomm_cli.config import reading as configs
    from fomm_cli.errors import FommError, nearest

    for name in precision:
        if name not in ("fp32", "bf16"):
            raise FommError(f"There is no precision {name!r}.", nearest(name, ["fp32", "bf16"]))
    result = bench_train(configs.load(source, overrides), device, steps, list(dict.fromkeys(precision)))
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
        return
    height, width = result.frame_shape
    typer.echo(f"{result.preset}, batch {result.batch_size} of {width}x{height}, {result.device}, torch {result.torch}")
    for pace in result.paces:
        typer.echo(
            f"{pace.precision}  {1000 * pace.seconds:9.1f} ms/step  {pace.pairs_per_second:8.1f} pairs/s  "
            f"{pace.memory_gib:6.2f} GiB peak"
        )
    if result.ratio is not None:
        typer.echo(f"bf16 is {result.ratio:.2f} x as fast as fp32")

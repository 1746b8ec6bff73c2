"""`fomm bench`: measurements. Options in, one call, tables out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.commands.options import NONE, Device, Json, Set
from fomm_cli.errors import FommError, counted, nearest

if TYPE_CHECKING:
    from fomm_cli.bench.animate import AnimateBench

bench_app = typer.Typer(
    name="bench",
    no_args_is_help=True,
    help="Measure on this machine: data, animation, training.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

CONFIG = typer.Option("vox-256", "--config", "-c", metavar="PRESET|FILE", help="The network, its frames and its data.")


@bench_app.command()
def animate(
    weights: str | None = typer.Option(
        None, "--weights", metavar="NAME|FILE", help="Measure this model. By default: random weights, see --config."
    ),
    source: str = CONFIG,
    overrides: Set = NONE,
    device: Device = "auto",
    precision: str = typer.Option("auto", "--precision", help="Of the quick rows: auto, fp32, bf16 or fp16."),
    batch: int = typer.Option(0, "--batch", metavar="N", min=0, help="Frames at a time; 0: the engine's choice."),
    threads: int = typer.Option(0, "--threads", metavar="N", min=0, help="CPU threads; 0: as many as torch takes."),
    rounds: int = typer.Option(5, "--rounds", metavar="N", min=1, help="Turns of every row."),
    frames: int = typer.Option(0, "--frames", metavar="N", min=0, help="Frames a turn; 0: 12 on a CPU, 300 on a GPU."),
    processor_time: bool = typer.Option(
        False, "--processor-time", help="For a shared CPU: one thread, by the time the processor spends on it."
    ),
    ladder: bool = typer.Option(False, "--ladder", help="Add the optimisations one by one."),
    onnx: bool = typer.Option(False, "--onnx", help="Export, and measure onnxruntime too."),
    pictures: bool = typer.Option(False, "--pictures", help="Measure frames larger than the network's too."),
    files: bool = typer.Option(False, "--files", help="Measure whole files, the first frame and memory too."),
    long: int = typer.Option(
        0, "--long", metavar="N", min=0, help="With --files: a clip of so many frames for the memory."
    ),
    as_json: Json = False,
) -> None:
    """Measure how fast frames are animated, after a check that all ways of doing it agree.

    The baseline is the plain loop: eager fp32 in PyTorch's own layout, one frame at a time, the source encoded for
    each.
    """
    from rich.console import Console

    from fomm_cli.bench.animate import bench_weights

    console = Console(stderr=True, highlight=False)
    with console.status("") as status:
        result = bench_weights(
            weights,
            source,
            overrides,
            device=device,
            precision=precision,
            batch=batch,
            threads=threads,
            rounds=rounds,
            frames=frames,
            processor_time=processor_time,
            ladder=ladder,
            onnx=onnx,
            pictures=pictures,
            files=files,
            long=long,
            say=status.update,
        )
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        _print(result)


@bench_app.command()
def data(
    root: Path = typer.Argument(..., metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    source: str = CONFIG,
    overrides: Set = NONE,
    pairs: int = typer.Option(400, "--pairs", metavar="N", min=2, help="Pairs to draw for each number."),
    workers: int = typer.Option(1, "--workers", metavar="N", min=0, help="Processes of the loader; 0 measures none."),
    memory: float = typer.Option(
        0.0, "--memory", metavar="GIB", min=0, help="Decode clips into this much memory first, as a small set allows."
    ),
    seed: int = typer.Option(0, "--seed", help="Of the draws."),
    as_json: Json = False,
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


@bench_app.command()
def train(
    source: str = typer.Argument(..., metavar="PRESET|FILE", help="A preset or a YAML file."),
    overrides: Set = NONE,
    steps: int = typer.Option(10, "--steps", metavar="N", min=1, help="Steps to measure, after two to warm up."),
    precision: list[str] = typer.Option(["fp32", "bf16"], "--precision", help="fp32, bf16. Repeatable."),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure the training step on a batch in memory: time, pairs a second, peak memory, bf16 against fp32."""
    from fomm_cli.bench.train import bench_train
    from fomm_cli.config import reading as configs

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


def _sections(result: AnimateBench) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, heads and rows of each table."""
    heads = ["ms a frame", "p95", "min", "fps", "ratio"]
    keys = ["ms_median", "ms_p95", "ms_min", "fps", "ratio"]

    def speeds(table: dict[str, dict[str, float]]) -> list[list[str]]:
        return [[way, *(_number(row[key]) for key in keys)] for way, row in table.items()]

    gates = [
        [way, f"{row['levels']:.0f}", f"{row['psnr']:.1f}", f"{row['keypoints']:.5f}"]
        for way, row in result.gates.items()
    ]
    sections = [
        ("Agreement with the plain model", ["way", "8-bit levels", "PSNR, dB", "keypoints, px"], gates),
        ("Model only", ["way", *heads], speeds(result.model)),
        ("uint8 to uint8", ["engine", *heads], speeds(result.host)),
        *((stage, ["engine", *heads], speeds(table)) for stage, table in result.stages.items()),
        *((f"Pictures, {engine}", ["way", *heads], speeds(table)) for engine, table in result.pictures.items()),
    ]
    if result.files is not None:
        sections.append(("Files", ["what", "value"], _files(result.files)))
    return sections


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _files(files: dict[str, Any]) -> list[list[str]]:
    rows = [[f"{stage}, frames/s", f"{fps:.4g}"] for stage, fps in files["fps"].items()]
    rows.append([f"whole, of its slowest stage ({files['slowest']})", f"{100 * files['share_of_slowest']:.0f} %"])
    rows.append(["process start to a finished one-frame clip, s", f"{files['first_frame_s']:.2f}"])
    rows.append(["peak memory, one frame, MiB", f"{files['peak_mib_one_frame']}"])
    rows.append([f"peak memory, {files['many_frames']} frames, MiB", f"{files['peak_mib_many_frames']}"])
    return rows


def _head(result: AnimateBench) -> str:
    machine, network = result.machine, result.network
    height, width = network["size"]
    return (
        f"{network['name']}, {width} x {height}, {network['parameters_m']} M parameters, "
        f"{'trained' if network['trained'] else 'random'} weights; {machine['device']}, {machine['processor']}, "
        f"torch {machine['torch']}; {result.rounds} rounds of {result.frames} frames"
        f"{', in processor time' if result.processor_time else ''}"
    )


def _print(result: AnimateBench) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(_head(result), markup=False)
    for title, heads, rows in _sections(result):
        if not rows:
            continue
        table = Table(title=title, title_justify="left")
        table.add_column(heads[0])
        for head in heads[1:]:
            table.add_column(head, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)

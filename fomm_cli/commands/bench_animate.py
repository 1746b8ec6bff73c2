"""`fomm bench animate`: frames a second, against the plain loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fomm_cli.bench.animate import AnimateBench


def animate(
    weights: str | None = typer.Option(
        None, "--weights", metavar="NAME|FILE", help="Measure this model. By default: random weights, see --config."
    ),
    source: str = typer.Option(
        "vox-256", "--config", "-c", metavar="PRESET|FILE", help="Without --weights: the network to measure."
    ),
    overrides: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key. Repeatable."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps."),
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
    files: bool = typer.Option(False, "--files", help="Measure whole files, the first frame and memory too."),
    long: int = typer.Option(
        0, "--long", metavar="N", min=0, help="With --files: a clip of so many frames for the memory."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    markdown: bool = typer.Option(False, "--markdown", help="Print tables in Markdown."),
) -> None:
    """Measure how fast frames are animated, after a check that all ways of doing it agree.

    The baseline is the plain loop: eager fp32 in PyTorch's own layout, one frame at a time, the source encoded for
    each.
    """
    import tempfile

    import torch
    from rich.console import Console

    from fomm_cli.bench.animate import bench_animate
    from fomm_cli.bench.stand_in import lively
    from fomm_cli.config import reading as configs
    from fomm_cli.device import resolve
    from fomm_cli.engine.base import Engine
    from fomm_cli.weights.load import load_model, read_config

    place = resolve(device)
    if processor_time:
        threads = 1
    if threads:
        torch.set_num_threads(threads)
    console = Console(stderr=True, highlight=False)
    if weights is None:
        config = configs.load(source, overrides)
        console.print(f"Measuring {config.name} with random weights.", markup=False)
        model = lively(config).to(place)
    else:
        config, model = read_config(weights), load_model(weights, device)
    count = frames or (300 if place.type == "cuda" else 12)
    with console.status("") as status, tempfile.TemporaryDirectory(prefix="fomm-bench-") as folder:

        def say(text: str) -> None:
            status.update(text)

        say("checking the bundled weights")
        trained = _bundled(device, precision)
        others: list[Engine] = []
        if onnx:
            from fomm_cli.engine.onnx import OnnxEngine
            from fomm_cli.export.folder import export

            say("exporting")
            export(model, config, Path(folder) / "onnx")
            model.to(place)
            others.append(OnnxEngine(Path(folder) / "onnx", "cpu" if place.type == "cpu" else "auto", threads))
        result = bench_animate(
            model,
            config.name,
            weights is not None,
            precision,
            batch,
            rounds,
            count,
            ladder,
            others,
            say,
            processor_time,
        )
        result.gates = trained | result.gates
        if files:
            from fomm_cli.bench.files import bench_files
            from fomm_cli.engine.choose import make_engine
            from fomm_cli.weights.file import save_weights

            stored: str | Path = weights or Path(folder) / "random.safetensors"
            if weights is None:
                save_weights(stored, model, config)
            engine = make_engine(model, "fused", precision)
            options = ["--device", device, "--precision", precision]
            result.files = bench_files(engine, stored, options, max(32, 4 * count), long, say)
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    elif markdown:
        typer.echo(_markdown(result))
    else:
        _print(result)


def _bundled(device: str, precision: str) -> dict[str, dict[str, float]]:
    """The gate on the trained bundled weights, the bundled portrait and frames of the bundled clip."""
    from itertools import islice

    import numpy as np

    from fomm_cli.bench.animate import agreement
    from fomm_cli.engine.choose import best_precision
    from fomm_cli.files.disk import ASSETS
    from fomm_cli.media.image import fit, read_image
    from fomm_cli.media.video import read_frames
    from fomm_cli.model.pixels import to_tensor
    from fomm_cli.weights.catalogue import DEFAULT
    from fomm_cli.weights.load import load_model

    model = load_model(DEFAULT, device)
    place = next(model.parameters()).device
    pictures = [read_image(ASSETS / "portrait.png"), *islice(read_frames(ASSETS / "driving.mp4"), 0, 40, 10)]
    fitted = np.stack([fit(picture, model.size) for picture in pictures])
    tensor = to_tensor(fitted, place)
    gates = agreement(model, best_precision(place) if precision == "auto" else precision, tensor[:1], tensor[1:])
    return {
        f"{DEFAULT}, {way}": {key: round(float(value), 5) for key, value in gate._asdict().items()}
        for way, gate in gates.items()
    }


def _sections(result: AnimateBench) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, heads and rows of each table."""
    heads = ["ms a frame", "p95", "min", "fps", "ratio"]
    keys = ["ms_median", "ms_p95", "ms_min", "fps", "ratio"]

    def speeds(table: dict[str, dict[str, float]]) -> list[list[str]]:
        return [[way, *(f"{row[key]:.4g}" for key in keys)] for way, row in table.items()]

    gates = [
        [way, f"{row['levels']:.0f}", f"{row['psnr']:.1f}", f"{row['keypoints']:.5f}"]
        for way, row in result.gates.items()
    ]
    sections = [
        ("Agreement with the plain model", ["way", "8-bit levels", "PSNR, dB", "keypoints, px"], gates),
        ("Model only", ["way", *heads], speeds(result.model)),
        ("uint8 to uint8", ["engine", *heads], speeds(result.host)),
    ]
    if result.files is not None:
        sections.append(("Files", ["what", "value"], _files(result.files)))
    return sections


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
        table = Table(title=title, title_justify="left")
        table.add_column(heads[0])
        for head in heads[1:]:
            table.add_column(head, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _markdown(result: AnimateBench) -> str:
    lines = [_head(result)]
    for title, heads, rows in _sections(result):
        lines += ["", f"**{title}**", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)

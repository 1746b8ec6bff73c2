"""`fomm export`: a model for runtimes without PyTorch."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

import typer

from fomm_cli.commands.options import Force, Json, Offline


class Format(StrEnum):
    ONNX = "onnx"
    PT2 = "pt2"


class ExportPrecision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def export(
    weights: str = typer.Argument(..., metavar="WEIGHTS", help="A name, a .safetensors file or hf://owner/repo."),
    output: Path = typer.Option(..., "-o", "--output", metavar="DIR", help="The folder to make."),
    kind: Format = typer.Option(
        Format.ONNX, "--format", help="onnx: for onnxruntime and others. pt2: torch.export programs."
    ),
    precision: ExportPrecision = typer.Option(
        ExportPrecision.FP32, "--precision", help="Inside `render` (onnx): fp16, or int8 in its residual blocks."
    ),
    frames: Path | None = typer.Option(
        None, "--frames", metavar="CLIP", help="Real frames to compare and calibrate on; else the bundled clip."
    ),
    force: Force = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Write a model as three graphs (detect, encode, render) and compare them with it.

    `fomm animate --weights DIR` runs an ONNX export without PyTorch. docs/export.md has the graphs' inputs and outputs.
    """
    from itertools import islice

    import numpy as np
    from rich.console import Console

    from fomm_cli.export.export import export as write
    from fomm_cli.files import disk
    from fomm_cli.files.folder import check_free_folder
    from fomm_cli.media.image import fit
    from fomm_cli.media.video import read_frames
    from fomm_cli.weights.load import load_model, read_config

    check_free_folder(output, force)
    console = Console(stderr=True, highlight=False)
    config = read_config(weights)
    model = load_model(weights, "cpu")
    height, width = model.size
    clip = frames or disk.ASSETS / "driving.mp4"
    real = [fit(frame, model.size) for frame in islice(read_frames(clip), 0, 24, 6)]
    console.print(f"Exporting {config.name} ({width} x {height}) to {kind} {precision} ...", markup=False)
    agreement = write(model, config, output, kind, precision, [np.stack(real)], force)
    worst = max(agreement.errors, key=lambda name: agreement.errors[name])
    console.print(
        f"Verified on {agreement.frames} frames: PSNR {agreement.psnr:.1f} dB against the model, largest error "
        f"{agreement.errors[worst]:.1e} of full scale ({worst}).",
        markup=False,
    )
    if as_json:
        typer.echo(json.dumps({"output": str(output), "format": kind, "precision": precision} | agreement._asdict()))
    else:
        typer.echo(str(output))

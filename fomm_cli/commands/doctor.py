"""`fomm doctor`: what is here, what is missing, and the line that installs it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata, util

import typer

from fomm_cli.commands.options import Json
from fomm_cli.version import __version__

# Extra -> (module, distribution) of everything it brings.
EXTRAS = {
    "face": [("onnxruntime", "onnxruntime")],
    "body": [("ai_edge_litert", "ai-edge-litert")],
    "eval": [("torchmetrics", "torchmetrics"), ("onnxruntime", "onnxruntime")],
    "onnx": [("onnx", "onnx"), ("onnxscript", "onnxscript"), ("onnxruntime", "onnxruntime")],
    "web": [("starlette", "starlette"), ("uvicorn", "uvicorn"), ("websockets", "websockets")],
    "c2pa": [("c2pa", "c2pa-python")],
    "matte": [("rembg", "rembg")],
    "tensorboard": [("tensorboard", "tensorboard")],
    "wandb": [("wandb", "wandb")],
}
PURPOSES = {
    "face": "crops and metrics of faces",
    "body": "metrics of bodies",
    "eval": "LPIPS and metrics of faces",
    "c2pa": "signing results, and reading signatures",
    "matte": "cutting out subjects with --matte",
    "onnx": "export, and running exports without torch",
    "web": "the page of `fomm web`",
    "tensorboard": "curves in TensorBoard",
    "wandb": "trainings at Weights & Biases",
}
CODECS = ["libx264", "libvpx-vp9", "aac", "libopus", "gif"]
STALE_DAYS = 120


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    state  ok; missing: an option that is not here; warning: works, but not as well as it could; broken: needed
    fix    the line to type or the place to go, empty where there is nothing to do
    """

    name: str
    state: str
    found: str
    fix: str = ""


def doctor(as_json: Json = False) -> None:
    """Say what is installed, what is missing and how to install it.

    Exits 1 if something that is needed is broken; a missing option is no failure.
    """
    findings = examine()
    broken = any(finding.state == "broken" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"healthy": not broken, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        _show(findings)
    raise typer.Exit(1 if broken else 0)


def examine() -> list[Finding]:
    """Every finding, in order; one that cannot be made becomes a finding itself."""
    findings: list[Finding] = []
    for name, look in LOOKS.items():
        try:
            findings += look()
        except Exception as error:  # the examination of a broken installation must not break
            fix = f"pip install -U {name}" if name in {"torch", "av", "imageio-ffmpeg", "yt-dlp"} else ""
            findings.append(Finding(name, "broken", f"{type(error).__name__}: {error}", fix))
    return findings


def _system() -> list[Finding]:
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return [Finding("fomm", "ok", __version__), Finding("python", "ok", system)]


def _torch() -> list[Finding]:
    import torch

    from fomm_cli import device

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    findings = [Finding("torch", "ok", f"{torch.__version__} ({built})")]
    chosen = device.resolve("auto")
    warning = device.warning(chosen)
    findings.append(Finding("device", "warning" if warning else "ok", device.describe(chosen), warning or ""))
    for index in range(1, torch.cuda.device_count()):
        findings.append(Finding("device", "ok", device.describe(torch.device("cuda", index))))
    return findings


def _video() -> list[Finding]:
    import av

    lacking = [codec for codec in CODECS if not _encodes(codec)]
    found = f"PyAV {av.__version__} with ffmpeg {getattr(av, 'ffmpeg_version_info', '')}".rstrip()
    if lacking:
        return [
            Finding("av", "broken", f"{found}, without {', '.join(lacking)}", "pip install -U --force-reinstall av")
        ]
    return [Finding("av", "ok", f"{found}: {', '.join(CODECS)}")]


def _encodes(codec: str) -> bool:
    import av

    try:
        av.Codec(codec, "w")
    except ValueError:
        return False
    return True


def _ffmpeg() -> list[Finding]:
    import imageio_ffmpeg

    own = shutil.which("ffmpeg")
    return [Finding("ffmpeg", "ok", own or f"{imageio_ffmpeg.get_ffmpeg_exe()} (from imageio-ffmpeg)")]


def _download() -> list[Finding]:
    from datetime import date

    from fomm_cli.acquire.supply import javascript_runtime

    version = metadata.version("yt-dlp")
    year, month, day = (int(part) for part in version.split(".")[:3])
    age = (date.today() - date(year, month, day)).days
    stale = age > STALE_DAYS
    said = f"{version}, {age} days old: video sites change faster than that" if stale else version
    findings = [Finding("yt-dlp", "warning" if stale else "ok", said, "pip install -U yt-dlp" if stale else "")]
    if util.find_spec("yt_dlp_ejs") is None:
        said = "not here: with a JavaScript runtime it solves YouTube's puzzles"
        findings.append(Finding("yt-dlp-ejs", "missing", said, 'pip install -U "yt-dlp[default]"'))
    runtime = javascript_runtime()
    if runtime:
        findings.append(Finding("javascript", "ok", f"{runtime[0]} at {runtime[1]}"))
    else:
        line = (
            "irm https://deno.land/install.ps1 | iex"
            if platform.system() == "Windows"
            else "curl -fsSL https://deno.land/install.sh | sh"
        )
        findings.append(
            Finding("javascript", "missing", "no deno, node, bun or quickjs: yt-dlp needs one for YouTube", line)
        )
    return findings


def _cache() -> list[Finding]:
    from fomm_cli.files import disk

    folder = disk.cache_dir()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = f"{shutil.disk_usage(nearest).free / 2**30:.1f} GiB free"
    if not os.access(nearest, os.W_OK):
        return [Finding("cache", "broken", f"{folder} cannot be written to", "export FOMM_CACHE=/a/folder/of/yours")]
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    return [Finding("cache", "ok", f"{folder}: {held / 2**20:.0f} MiB used, {free}")]


def _weights() -> list[Finding]:
    from fomm_cli.weights.catalogue import CATALOGUE

    findings = []
    for entry in CATALOGUE.values():
        if entry.bundled:
            here = entry.path.is_file()
            fix = "" if here else "pip install --force-reinstall --no-deps fomm-cli"
            findings.append(Finding("weights", "ok" if here else "broken", f"{entry.name}, bundled", fix))
    fetched = [entry.name for entry in CATALOGUE.values() if not entry.bundled and entry.path.is_file()]
    if fetched:
        findings.append(Finding("weights", "ok", f"fetched: {', '.join(fetched)}"))
    return findings


def _extras() -> list[Finding]:
    findings = []
    for extra, brought in EXTRAS.items():
        lacking = [name for module, name in brought if util.find_spec(module) is None]
        if lacking:
            said = f"without {', '.join(lacking)}: {PURPOSES[extra]}"
            findings.append(Finding(f"[{extra}]", "missing", said, f'pip install "fomm-cli[{extra}]"'))
        else:
            versions = ", ".join(f"{name} {metadata.version(name)}" for _, name in brought)
            findings.append(Finding(f"[{extra}]", "ok", f"{versions}: {PURPOSES[extra]}"))
    return findings


LOOKS: dict[str, Callable[[], list[Finding]]] = {
    "fomm": _system,
    "torch": _torch,
    "av": _video,
    "imageio-ffmpeg": _ffmpeg,
    "yt-dlp": _download,
    "cache": _cache,
    "weights": _weights,
    "extras": _extras,
}


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "missing": ("-", "dim"), "warning": ("!", "yellow"), "broken": ("✗", "red")}
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for finding in findings:
        mark, style = marks[finding.state]
        console.print(Text.assemble((f"{mark} ", style), (f"{finding.name:<14}", "bold"), finding.found))
        if finding.fix:
            console.print(Text(f"{'':<16}{finding.fix}", style="cyan"))

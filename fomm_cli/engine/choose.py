"""Which engine runs a model, and in which precision; from a name to a running engine in one call."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError, nearest
from fomm_cli.files.disk import sha256

if TYPE_CHECKING:
    import torch

    from fomm_cli.model.network import AnimationModel

ENGINES = ["auto", "plain", "fused"]
FUSED = {
    "first_order": ("fomm_cli.engine.fused", "FusedEngine"),
    "live_portrait": ("fomm_cli.engine.portrait", "PortraitEngine"),
}
"""Family -> module and class of the engine that rebuilds its networks; imported when one is asked for."""
PRECISIONS = ["auto", "fp32", "bf16", "fp16"]


def open_engine(
    weights: str | Path | None = None,
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    cuda_graphs: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Engine:
    """What animates with these weights: the quickest engine there is for them, ready to run.

    weights     a name, a `.safetensors` file, an hf:// address, or the folder of an ONNX export; None = the default
    device      auto, cpu, cuda, cuda:N or mps
    say         told, in a sentence each, what a user would want to know, such as a GPU that is not used
    Raises FommError: as `load_model`, `make_engine` and the reading of exports do.
    """
    if weights is not None and (Path(weights) / "export.json").is_file():
        from fomm_cli.engine.onnx import OnnxEngine

        if engine != "auto" or precision != "auto":
            raise FommError(
                f"{weights} is an export, which runs on onnxruntime in the precision it was written in.",
                "Leave out --engine and --precision.",
            )
        return OnnxEngine(Path(weights), device)
    from fomm_cli.device import resolve, warning
    from fomm_cli.weights.catalogue import DEFAULT
    from fomm_cli.weights.load import load_model
    from fomm_cli.weights.load import resolve as located

    if said := warning(resolve(device)):
        say(said)
    path = located(weights or DEFAULT)
    opened = make_engine(load_model(path, device), engine, precision, cuda_graphs)
    opened.weights = f"sha256:{sha256(path)}"
    return opened


def as_engine(model: Any) -> Engine:
    """An engine as it is; a model behind the plain engine; what else names weights opened by `open_engine`."""
    if isinstance(model, str | Path):
        return open_engine(model)
    if hasattr(model, "parameters"):
        from fomm_cli.engine.plain import PlainEngine

        return PlainEngine(model)
    return model


def make_engine(
    model: AnimationModel, engine: str = "auto", precision: str = "auto", cuda_graphs: bool = False
) -> Engine:
    """The engine of these names around a model in eval mode, on the device of its parameters.

    engine       auto: the fused one where it can run this model, else plain: the model as it is written
    precision    auto: see `best_precision`; the plain engine runs fp32, and bf16 only when
                 asked and where there is no fused one
    cuda_graphs  the fused engine on CUDA: replay recorded kernels
    Raises FommError for a name that is not known and for a pair that does not go together.
    """
    for what, name, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if name not in known:
            raise FommError(f"There is no {what} {name!r}.", nearest(name, known))
    fusable = model.family.fusable(model.config)
    if engine == "fused" and not fusable:
        raise FommError(f"The fused engine does not run {model.family.title}.", "Leave out --engine.")
    if engine == "plain" or not fusable:
        if precision not in (("auto", "fp32") if fusable else ("auto", "fp32", "bf16")) or cuda_graphs:
            option = "--cuda-graphs" if cuda_graphs else f"--precision {precision}"
            raise FommError(f"The plain engine has no {option}.", "Use --engine fused." if fusable else "Leave it out.")
        from fomm_cli.engine.plain import PlainEngine

        return PlainEngine(model, "fp32" if precision == "auto" else precision)
    module, name = FUSED[model.family.name]
    device = next(model.parameters()).device
    best = best_precision(device) if precision == "auto" else precision
    return getattr(import_module(module), name)(model, best, cuda_graphs)


def best_precision(device: torch.device) -> str:
    """bf16 where the processor multiplies it natively, else fp16 (older NVIDIA GPUs with tensor cores), else fp32.

    Keypoints stay fp32 in all of them.
    """
    import torch

    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"
    if device.type == "cpu" and torch.backends.mkldnn.is_available() and _bf16_units():
        return "bf16"
    return "fp32"


def _bf16_units() -> bool:
    """Whether the CPU has bf16 products (avx512_bf16, amx_bf16, Arm's bf16); emulated ones are slower than fp32."""
    if platform.system() != "Linux":
        return False
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})

"""Which engine runs a model, and in which precision."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError, nearest

if TYPE_CHECKING:
    import torch

    from fomm_cli.model.network import FirstOrderModel

ENGINES = ["auto", "plain", "fused"]
PRECISIONS = ["auto", "fp32", "bf16", "fp16"]


def make_engine(
    model: FirstOrderModel, engine: str = "auto", precision: str = "auto", cuda_graphs: bool = False
) -> Engine:
    """The engine of these names around a model in eval mode, on the device of its parameters.

    engine       auto: the fused one. plain: the model as it is written
    precision    auto: see `best_precision`; the plain engine has fp32 alone
    cuda_graphs  the fused engine on CUDA: replay recorded kernels
    Raises FommError for a name that is not known and for a pair that does not go together.
    """
    for what, name, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if name not in known:
            raise FommError(f"There is no {what} {name!r}.", nearest(name, known))
    if engine == "plain":
        if precision not in ("auto", "fp32") or cuda_graphs:
            option = "--cuda-graphs" if cuda_graphs else f"--precision {precision}"
            raise FommError(f"The plain engine has no {option}.", "Use --engine fused.")
        from fomm_cli.engine.plain import PlainEngine

        return PlainEngine(model)
    from fomm_cli.engine.fused import FusedEngine

    device = next(model.parameters()).device
    return FusedEngine(model, best_precision(device) if precision == "auto" else precision, cuda_graphs)


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

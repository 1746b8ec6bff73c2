"""The one place where "auto" becomes a device, and what is known of the machine: processors, memory, versions."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fomm_cli.errors import FommError, counted, nearest

if TYPE_CHECKING:
    import torch


KINDS = ["auto", "cpu", "cuda", "mps"]


def resolve(name: str = "auto") -> torch.device:
    """`auto` (cuda, else mps, else cpu), `cpu`, `mps`, `cuda` or `cuda:N`, as a device that is really there."""
    import torch

    kind, _, index = name.lower().partition(":")
    if kind not in KINDS or (index and (kind != "cuda" or not index.isdigit())):
        raise FommError(f"There is no device {name!r}.", nearest(name, [*KINDS, "cuda:N"]))
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise FommError(f"Device {name!r} was asked for, but torch finds no CUDA GPU.", _why_no_gpu() or "Use cpu.")
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise FommError(f"There is no device {name!r}: torch sees {count} GPU.", f"Use cuda:0 to cuda:{count - 1}.")
        return torch.device("cuda", int(index or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise FommError("Device 'mps' was asked for, but this is no Apple GPU torch can use.", "Use --device cpu.")
    return torch.device(kind)


def describe(device: torch.device) -> str:
    """One line for people, such as "cuda:0 (NVIDIA H200, 140 GiB)" or "cpu (2 threads, x86_64)"."""
    import torch

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"cuda:{device.index or 0} ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)"
    if device.type == "mps":
        return f"mps (Apple GPU, {platform.machine()})"
    threads = torch.get_num_threads()
    return f"cpu ({counted(threads, 'thread')}, {platform.machine()})"


def warning(device: torch.device) -> str | None:
    """A sentence for when the processor does the work although the machine has a GPU that torch cannot use."""
    if device.type != "cpu":
        return None
    reason = _why_no_gpu()
    return f"This machine has an NVIDIA GPU, but the CPU does the work. {reason}" if reason else None


def gpu_hardware() -> bool:
    """Whether the system shows an NVIDIA GPU, whatever torch thinks of it."""
    if any(Path("/dev").glob("nvidia[0-9]*")) or Path("/proc/driver/nvidia/version").exists():
        return True
    return platform.system() == "Windows" and shutil.which("nvidia-smi") is not None


def _why_no_gpu() -> str | None:
    """Why torch cannot use the GPU of this machine and what to do; None when all is well or there is none."""
    import torch

    if torch.cuda.is_available() or not gpu_hardware():
        return None
    if torch.version.cuda is None:
        return "This torch was built without CUDA: install a CUDA build (https://pytorch.org/get-started/locally)."
    return (
        f"This torch was built for CUDA {torch.version.cuda} and cannot use the driver: update the NVIDIA driver, or "
        "install a torch built for an older CUDA (https://pytorch.org/get-started/previous-versions)."
    )


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's names for mallopt


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step instead of handing it back to the system.

    A training step allocates and frees the same large maps again and again; fetched anew from the system each time,
    every page costs a fault (measured: a tenth to a fifth of the step). Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**31 - 1)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_TOP_PAD, 2**26)


def processors() -> int:
    """How many this process may use, which a container or a scheduler can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory(device: torch.device) -> float:
    """The most so far, in GiB: of the GPU, or of this process."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows has no such count
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


PACKAGES = ("torchvision", "numpy", "pillow", "av", "lpips", "torchmetrics", "onnxruntime", "ai-edge-litert")
"""Those that could change a number."""


def versions() -> dict[str, str]:
    """Of fomm, of Python and of the packages that are installed: the same in every report of what computed it."""
    from importlib import metadata

    import torch

    from fomm_cli.version import __version__

    found = {
        "fomm": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with its build
    }
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if "torch" in sys.modules:
        found["torch"] = str(sys.modules["torch"].__version__)  # tells the build too, as 2.14.1+cu130
    return found


def machine(device: torch.device) -> dict[str, Any]:
    """Device, processor, threads and versions: for the head of a measurement of time."""
    import torch

    return {
        "device": describe(device),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "cores": processors(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        **versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = " ".join(line for line in lines if line.startswith(("flags", "Features"))).split()
    units = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_vnni") if flag in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(units) or 'no vector units known'})"

"""One training on several processes, by torch's own engine: networks wrapped, norms synchronised, launching."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from dataclasses import fields
from inspect import signature
from typing import Any

import torch
from torch import nn

from fomm_cli.errors import FommError
from fomm_cli.processes import World
from fomm_cli.train.sync_norm import synchronised


def parallel(module: nn.Module, world: World, device: torch.device, idle: bool = False) -> nn.Module:
    """A module whose gradients are averaged over all processes during its backward pass.

    idle   whether weights that take gradients may stay out of a step, as those of a network that begins later
    """
    if world.size == 1:
        return module
    from torch.nn.parallel import DistributedDataParallel

    # Buffers need no broadcast: synchronised statistics and power iterations are the same everywhere.
    renamed = "forward_sync_buffers" in signature(DistributedDataParallel.__init__).parameters
    quiet: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    quiet["find_unused_parameters"] = idle
    return DistributedDataParallel(module, device_ids=[device.index] if device.type == "cuda" else None, **quiet)


def synchronise_norms(module: Any, world: World, device: torch.device) -> Any:
    """Batch norms over the batch of all processes together, as one process would see it."""
    if world.size == 1:
        return module
    return nn.SyncBatchNorm.convert_sync_batchnorm(module) if device.type == "cuda" else synchronised(module)


SAVING = 120
"""Seconds that processes which were told to stop have for their step and its checkpoint."""


def launch(processes: int, arguments: list[str]) -> int:
    """Run `fomm ARGUMENTS` in several processes of this machine under torch's elastic engine; returns the exit code."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    told = [name for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name)]
    newer: dict[str, Any] = {"signals_to_handle": ",".join(told), "shutdown_timeout": SAVING}
    known = {field.name for field in fields(LaunchConfig)}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        start_method="spawn",
        **{name: value for name, value in newer.items() if name in known},
    )
    if "OMP_NUM_THREADS" not in os.environ:  # processes that share a processor share its threads
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "fomm_cli", *arguments)
    except SignalException as stop:
        warned = stop.sigval == getattr(signal, "SIGUSR1", None)
        return 128 + (signal.SIGTERM if warned else int(stop.sigval))
    except ChildFailedError as failure:
        killed = [(rank, -one.exitcode) for rank, one in failure.failures.items() if one.exitcode < 0]
        if killed:  # the others ended because of it, whatever they say
            rank, number = killed[0]
            raise FommError(
                f"Process {rank} of the training was killed ({signal.Signals(number).name}).",
                "Where memory is short, fewer --workers or less --memory help. `fomm resume` goes on from the last "
                "checkpoint.",
            ) from failure
        return int(failure.get_first_failure()[1].exitcode)
    return 0

"""From a training to weights that others can use."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from fomm_cli.device import describe
from fomm_cli.train import checkpoint
from fomm_cli.train.run import Options, Run, environment
from fomm_cli.train.state import State
from fomm_cli.weights import save_weights


def finish(run: Run, state: State, options: Options) -> None:
    """Write the finished network, the running average if there is one, as one self-sufficient file."""
    save_weights(
        run.weights,
        state.exported,
        state.config,
        discriminator=state.discriminator,
        provenance=provenance(run, options, state.step, state.epoch, state.best)
        | {"device": describe(state.device), "processes": state.world.size},
        force=True,
    )


def export(run: Run, output: Path, best: bool = False, half: bool = False, force: bool = False) -> None:
    """Write the weights of a run's last or best checkpoint: the running average if there is one."""
    path = run.best if best else run.last
    content = checkpoint.read(path)
    state = content["state"]
    save_weights(
        output,
        state["average"] or state["model"],
        checkpoint.config_of(content, path),
        dtype=torch.float16 if half else None,
        discriminator=None if half else state["discriminator"],
        provenance=provenance(run, run.read_options(), state["step"], state["epoch"], state["best"]),
        force=force,
    )


def provenance(run: Run, options: Options, step: int, epoch: int, best: float | None) -> dict[str, Any]:
    """Where weights come from, stored inside them."""
    found = environment()
    return {
        "run": run.folder.name,
        "data": Path(options.data).name,
        "seed": options.seed,
        "init": None if options.init is None else Path(options.init).name,
        "steps": step,
        "epochs": epoch,
        "validation_l1": best,
        "machine": platform.machine(),
        **{key: found[key] for key in ("fomm", "git", "torch", "python")},
    }

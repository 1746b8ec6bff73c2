"""What a training leaves for others: its network as one self-sufficient weights file."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fomm_cli.data.clips import ClipRef
from fomm_cli.device import describe
from fomm_cli.errors import FommError
from fomm_cli.evaluate.reach import with_reach
from fomm_cli.train import checkpoint, logs, shelf
from fomm_cli.train.run import Options, Run, environment
from fomm_cli.train.state import State
from fomm_cli.weights.file import save_weights


def finish(run: Run, state: State, options: Options, clips: Sequence[ClipRef]) -> None:
    """Write the finished network, the running average if there is one, with the reach of the clips it has seen."""
    save_weights(
        run.weights,
        state.exported,
        with_reach(state.config, state.exported, clips),
        discriminator=state.discriminator,
        provenance=provenance(run, options, state.step, state.epoch, state.best)
        | {"device": describe(state.device), "processes": state.world.size},
        force=True,
    )


class Exported(NamedTuple):
    """What was exported: the checkpoint's step and finished epochs, and a line on what a person may not expect."""

    step: int
    epoch: int
    note: str = ""


def export(
    run: Run,
    output: Path,
    best: bool = False,
    dtype: torch.dtype | None = None,
    force: bool = False,
    step: int | None = None,
) -> Exported:
    """Write the weights of a run's last or best checkpoint, or of one that was kept: the running average if it has one.

    dtype   as in `save_weights`; weights that are stored smaller come without a discriminator
    Raises FommError for one in which nothing is trained yet.
    """
    if output.suffix != ".safetensors":  # nor can it replace a checkpoint
        raise FommError(f"{output} does not end in .safetensors, as a weights file does.", "Name it so.")
    if best or step is not None:
        path = run.best if best else shelf.at(run, step or 0)
        found = shelf.Found(path, checkpoint.read(path))
    else:
        found = shelf.newest(run)
    options, state = run.read_options(), found.content["state"]
    if not state["step"]:
        wait = f"after {options.checkpoint_minutes:g} minutes" if options.checkpoint_minutes else "by steps"
        raise FommError(
            f"{run.folder} has no trained checkpoint yet: the only one is of its start.",
            f"The next is written {wait}, or when the training is stopped (Ctrl-C)"
            + ("; --best takes that of the best validation." if run.best.is_file() else "."),
        )
    save_weights(
        output,
        state["average"] or state["model"],
        checkpoint.config_of(found.content, found.path),
        dtype=dtype,
        discriminator=None if dtype else state["discriminator"],
        provenance=provenance(run, options, state["step"], state["epoch"], state["best"]),
        force=force,
    )
    made = max((entry["step"] for entry in logs.read(run.metrics)[-1:]), default=0)
    asked = best or step is not None
    behind = f"The run is at step {made}." if made > state["step"] and not asked else ""
    return Exported(state["step"], state["epoch"], " ".join(filter(None, (found.note, behind))))


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

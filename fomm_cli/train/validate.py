"""How good the network is on clips it was not trained on, and the finished weights."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fomm_cli.data.clips import ClipRef
from fomm_cli.data.fit import fit
from fomm_cli.data.pairs import to_float
from fomm_cli.data.split import Split
from fomm_cli.device import describe
from fomm_cli.errors import FommError
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.train import checkpoint
from fomm_cli.train.logs import Log, append
from fomm_cli.train.run import Options, Run
from fomm_cli.train.state import State

FRAMES = 8
"""Driving frames a clip, evenly spread: a validation is a check of health, `fomm eval` measures every frame."""


def validate(run: Run, state: State, split: Split, options: Options, log: Log) -> None:
    """Measure on the test clips, write validation.jsonl, keep the best checkpoint. The first process does it for all."""
    if not split.test or not state.world.first:
        return
    refs = chosen(split.test, options.validate_clips)
    network = state.exported
    training = network.training
    network.eval()
    sums = {"l1": 0.0, "psnr": 0.0, "copy_l1": 0.0}
    frames = 0
    try:
        for ref in refs:
            try:
                images = read(ref, state.config.data.frame_shape, FRAMES + 1)
            except FommError as error:
                log.say(f"validation skips {ref.name}: {error.what}")
                continue
            pictures = to_float(torch.from_numpy(images).permute(0, 3, 1, 2).to(state.device))
            for key, value in measure(network, pictures).items():
                sums[key] += value
            frames += len(pictures) - 1
    finally:
        network.train(training)
    if not frames:
        return
    entry: dict[str, Any] = {"step": state.step, "epoch": state.epoch, "frames": frames}
    entry |= {key: value / frames for key, value in sums.items()}
    append(run.validation, [entry])
    log.say(
        f"epoch {state.epoch}, step {state.step}: validation L1 {entry['l1']:.4f} (copying the first frame "
        f"{entry['copy_l1']:.4f}), PSNR {entry['psnr']:.2f} dB"
    )
    if state.best is None or entry["l1"] < state.best:
        state.best = entry["l1"]
        checkpoint.save(state, run.best)
    log.restart()


def chosen(refs: list[ClipRef], limit: int) -> list[ClipRef]:
    """At most `limit` clips (0 = all), evenly spread, always the same."""
    if not limit or len(refs) <= limit:
        return refs
    return [refs[round(place)] for place in np.linspace(0, len(refs) - 1, limit)]


def read(ref: ClipRef, shape: tuple[int, int], count: int) -> np.ndarray:
    """The first frame and others evenly spread: uint8 (n, *shape, 3), n at most `count`, at least 2."""
    clip = ref.open()
    try:
        if len(clip) < 2:
            raise FommError("it has a single frame.")
        places = sorted({round(place) for place in np.linspace(0, len(clip) - 1, count)})
        return np.stack([fit(frame, shape) for frame in clip.frames(places)])
    finally:
        clip.close()


@torch.no_grad()
def measure(network: FirstOrderModel, pictures: Tensor) -> dict[str, float]:
    """Sums over frames of mean absolute difference and PSNR, the first picture driven by the others.

    pictures  (n, 3, H, W)
    """
    source, driving = pictures[:1], pictures[1:]
    rendered = network.render(network.encode(source), network.detect(source), network.detect(driving), deformed=False)
    difference = rendered.prediction - driving
    squares = difference.square().mean(dim=(1, 2, 3)).clamp(min=1e-10)
    return {
        "l1": difference.abs().mean(dim=(1, 2, 3)).sum().item(),
        "psnr": (-10 * torch.log10(squares)).sum().item(),
        "copy_l1": (source - driving).abs().mean(dim=(1, 2, 3)).sum().item(),
    }


def finish(run: Run, state: State, options: Options) -> None:
    """Write the finished network, the running average if there is one, as one self-sufficient file."""
    from fomm_cli.weights import save_weights

    save_weights(
        run.weights,
        state.exported,
        state.config,
        discriminator=state.discriminator,
        provenance=provenance(run, state, options),
        force=True,
    )


def provenance(run: Run, state: State, options: Options) -> dict[str, Any]:
    """Where weights come from, stored inside them."""
    from fomm_cli.train.run import environment

    found = environment()
    return {
        "run": run.folder.name,
        "preset": state.config.name,
        "data": options.data,
        "seed": options.seed,
        "init": options.init,
        "steps": state.step,
        "epochs": state.epoch,
        "device": describe(state.device),
        "processes": state.world.size,
        "validation_l1": state.best,
        "machine": platform.machine(),
        **{key: found[key] for key in ("fomm", "git", "torch", "python")},
    }

"""How good the network is on clips it was not trained on: numbers and a sheet of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fomm_cli import draw
from fomm_cli.data.clips import ClipRef
from fomm_cli.data.split import Split
from fomm_cli.errors import FommError
from fomm_cli.media.image import fit, write_image
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.train import checkpoint
from fomm_cli.train.logs import Log, append
from fomm_cli.train.run import Options, Run
from fomm_cli.train.state import State

SHEET_COLUMNS = ("source", "driving", "keypoints", "flow", "occlusion", "prediction")
SHEET_ROWS = 6

FRAMES = 8
"""Driving frames a clip, evenly spread: a validation is a check of health, `fomm eval` measures every frame."""


def validate(run: Run, state: State, split: Split, options: Options, log: Log) -> None:
    """Measure on the test clips, draw a sheet of samples, write validation.jsonl, keep the best checkpoint.

    The first process does it for all.
    """
    if not split.test or not state.world.first:
        return
    network = state.exported
    training = network.training
    network.eval()
    sums = {"l1": 0.0, "psnr": 0.0, "copy_l1": 0.0}
    frames = 0
    rows: list[list[draw.Picture | None]] = []
    try:
        for ref in chosen(split.test, options.validate_clips):
            try:
                images = read(ref, state.config.data.frame_shape, FRAMES + 1)
            except FommError as error:
                log.say(f"validation skips {ref.name}: {error.what}")
                continue
            pictures = to_tensor(images, state.device)
            for key, value in measure(network, pictures).items():
                sums[key] += value
            frames += len(pictures) - 1
            if len(rows) < SHEET_ROWS:
                rows.append(sample(network, pictures[[0, (len(pictures) + 1) // 2]]))
    finally:
        network.train(training)
    if not frames:
        return
    write_image(run.samples / f"step-{state.step:08d}.png", draw.sheet(rows, SHEET_COLUMNS), force=True)
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


@torch.no_grad()
def sample(network: FirstOrderModel, pictures: Tensor) -> list[draw.Picture | None]:
    """One row of the sheet, see SHEET_COLUMNS: the first of two pictures (2, 3, H, W) in the pose of the second."""
    source, driving = pictures[:1], pictures[1:]
    keypoints = network.detect(driving)
    rendered = network.render(network.encode(source), network.detect(source), keypoints, deformed=False)
    size = (pictures.shape[2], pictures.shape[3])
    seen = to_frames(driving)[0]
    occlusion = None if rendered.occlusion is None else draw.occlusion(rendered.occlusion[0].cpu().numpy(), size)
    jacobian = None if keypoints.jacobian is None else keypoints.jacobian[0].cpu().numpy()
    return [
        to_frames(source)[0],
        seen,
        draw.keypoints(seen, keypoints.value[0].cpu().numpy(), jacobian),
        draw.flow(rendered.flow[0].cpu().numpy(), size),
        occlusion,
        to_frames(rendered.prediction)[0],
    ]

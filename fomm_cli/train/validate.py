"""How good the network is on clips it was not trained on: numbers and a sheet of samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fomm_cli import draw
from fomm_cli.data.clips import ClipRef
from fomm_cli.data.split import Split
from fomm_cli.errors import FommError
from fomm_cli.evaluate.methods import Copy, Method, Network
from fomm_cli.evaluate.metrics import METRICS
from fomm_cli.evaluate.records import Record, Tally
from fomm_cli.evaluate.report import results
from fomm_cli.evaluate.sheets import error_map
from fomm_cli.media.image import fit, write_image
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.train import checkpoint
from fomm_cli.train.judge import Judge
from fomm_cli.train.logs import Log, append
from fomm_cli.train.run import Options, Run
from fomm_cli.train.state import State

SHEET_COLUMNS = ("source", "driving", "keypoints", "flow", "occlusion", "warped source", "prediction", "error")
SHEET_ROWS = 6

FRAMES = 8
"""Driving frames a clip, evenly spread: a validation is a check of health, `fomm eval` measures every frame."""


def validate(run: Run, state: State, split: Split, options: Options, log: Log, judge: Judge) -> None:
    """Measure on the test clips, draw a sheet of samples, write validation.jsonl, keep the best checkpoint."""
    network = state.exported
    training = network.training
    network.eval()
    methods: list[Method] = [Copy(), Network("network", network)]
    records: list[Record] = []
    rows: list[list[draw.Picture | None]] = []
    try:
        for ref in chosen(split.test, options.validate_clips):
            try:
                images = read(ref, state.config.data.frame_shape, FRAMES + 1)
            except FommError as error:
                log.say(f"validation skips {ref.name}: {error.what}")
                continue
            pictures = to_tensor(images, state.device)
            source, driving = pictures[:1], pictures[1:]
            record = Record(ref.name, frames=len(driving))
            truth = judge.observers.look(images[1:])
            for method in methods:
                tally = record.tallies[method.name] = Tally()
                made = method.start(source, source, "reconstruction")(driving).prediction
                judge.measures.add(tally, made, driving)
                seen = judge.observers.look(to_frames(made)) if judge.observers else []
                judge.observers.compare(tally, truth, seen, state.config.data.frame_shape)
            records.append(record)
            if len(rows) < SHEET_ROWS:
                rows.append(sample(network, pictures[[0, (len(pictures) + 1) // 2]]))
    finally:
        network.train(training)
    if not records:
        return
    sheet = draw.sheet(rows, SHEET_COLUMNS)
    write_image(run.samples / f"step-{state.step:08d}.png", sheet, force=True)
    found = results(records, [method.name for method in methods], judge.names, seed=0)
    numbers: dict[str, float | None] = {name: found["network"][name]["value"] for name in judge.names}
    numbers["copy_l1"] = found["copy"]["l1"]["value"]
    frames = sum(record.frames for record in records)
    append(run.validation, [{"step": state.step, "epoch": state.epoch, "frames": frames, **numbers}])
    log.validated(state.step, numbers, sheet)
    l1 = METRICS["l1"].text
    others = [METRICS[name] for name in judge.names if name != "l1"]
    log.say(
        f"epoch {state.epoch}, step {state.step}: validation L1 {l1(numbers['l1'])} (copying the first frame "
        f"{l1(numbers['copy_l1'])})"
        + "".join(f", {metric.title} {metric.text(numbers[metric.name])}{_unit(metric.unit)}" for metric in others)
    )
    if numbers["l1"] is not None and (state.best is None or numbers["l1"] < state.best):
        state.best = numbers["l1"]
        checkpoint.save(state, run.best)
    log.restart()


def _unit(text: str) -> str:
    return f" {text}" if text in ("dB", "px at 256") else ""


def chosen(refs: list[ClipRef], limit: int) -> list[ClipRef]:
    """At most `limit` clips (0 = all), evenly spread, always the same."""
    if not limit or len(refs) <= limit:
        return refs
    return [refs[round(number)] for number in np.linspace(0, len(refs) - 1, limit)]


def read(ref: ClipRef, shape: tuple[int, int], count: int) -> np.ndarray:
    """The first frame and others evenly spread: uint8 (n, *shape, 3), n at most `count`, at least 2."""
    clip = ref.open()
    try:
        if len(clip) < 2:
            raise FommError("it has a single frame.")
        numbers = sorted({round(number) for number in np.linspace(0, len(clip) - 1, count)})
        return np.stack([fit(frame, shape) for frame in clip.frames(numbers)])
    finally:
        clip.close()


@torch.no_grad()
def sample(network: AnimationModel, pictures: Tensor) -> list[draw.Picture | None]:
    """One row of the sheet, see SHEET_COLUMNS: the first of two pictures (2, 3, H, W) in the pose of the second."""
    source, driving = pictures[:1], pictures[1:]
    keypoints = network.detect(driving)
    rendered = network.render(network.encode(source), network.detect(source), keypoints)
    size = (pictures.shape[2], pictures.shape[3])
    seen = to_frames(driving)[0]
    occlusion = None if rendered.occlusion is None else draw.occlusion(rendered.occlusion[0].cpu().numpy(), size)
    jacobian = getattr(keypoints, "jacobian", None)
    return [
        to_frames(source)[0],
        seen,
        draw.keypoints(seen, keypoints.value[0].cpu().numpy(), None if jacobian is None else jacobian[0].cpu().numpy()),
        draw.flow(rendered.flow[0].cpu().numpy(), size),
        occlusion,
        None if rendered.deformed is None else to_frames(rendered.deformed)[0],
        to_frames(rendered.prediction)[0],
        error_map(to_frames(rendered.prediction)[0], seen),
    ]

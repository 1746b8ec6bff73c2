"""How far the movements of a data set go: within that `--clamp auto` keeps what is asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fomm_cli.config.schema import Config
from fomm_cli.data.clips import ClipRef
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media.image import fit
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pixels import to_tensor
from fomm_cli.model.pose import mapped, pick
from fomm_cli.model.relative import Reach
from fomm_cli.weights.file import read_weights, save_weights
from fomm_cli.weights.load import load_model, resolve

PAIRS = 200
"""Pairs of frames that are looked at."""


def measured(
    weights: str | Path,
    data: str | Path,
    output: Path | None = None,
    pairs: int = PAIRS,
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
) -> Reach:
    """The reach of weights by name or file on the training clips of a set; `output`: a copy of them that tells it.

    Raises FommError: as `load_model`, `find_split` and `measure`; an output that is there, without `force`.
    """
    if output is not None:
        disk.check_free(output, force)
    reach = measure(load_model(weights, device), find_split(data, seed).train, pairs, seed)
    if output is not None:
        held = read_weights(resolve(weights))
        config = told(held.header.config, reach)
        save_weights(output, held.model, config, held.dtype, held.discriminator, held.header.provenance, force)
    return reach


def told(config: Config, reach: Reach) -> Config:
    """The config with this reach in its section `animate`."""
    return config.model_copy(update={"animate": config.animate.model_copy(update={"reach": reach})})


def with_reach(config: Config, model: AnimationModel, clips: Sequence[ClipRef]) -> Config:
    """The config with the reach of its network in section `animate`, for a weights file; as it was where there is none.

    model  of this config, in whatever mode, in which it is left
    """
    training = model.training
    model.eval()
    try:
        reach = measure(model, clips)
    except FommError:
        return config
    finally:
        model.train(training)
    return told(config, reach)


@torch.inference_mode()
def measure(model: AnimationModel, clips: Sequence[ClipRef], pairs: int = PAIRS, seed: int = 0) -> Reach:
    """The reach of a network's own keypoints between two frames of a clip, over `pairs` random pairs of its data.

    model  in eval mode, where its parameters are
    Raises FommError: a family without limits; clips that cannot be read, or of one frame each.
    """
    drawn, device = random.Random(seed), next(model.parameters()).device
    channels, space = [], None
    for _ in range(pairs):
        clip = drawn.choice(clips).open()
        try:
            if len(clip) < 2:
                continue
            frames = np.stack([fit(clip.frame(index), model.size) for index in drawn.sample(range(len(clip)), 2)])
        finally:
            clip.close()
        poses = mapped(model.detect(to_tensor(frames, device)), lambda each: each.cpu().numpy())
        space = model.family.space(pick(poses, slice(0, 1)))
        channels.append(space.channels(pick(poses, slice(1, 2))))
    if space is None:
        raise FommError("No clip has two frames.", "Give the data set that the network was trained on.")
    return space.reach(np.concatenate(channels))

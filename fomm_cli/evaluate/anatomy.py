"""How weights come to a frame, in one picture: `python -m fomm_cli.evaluate.anatomy WEIGHTS CLIP OUT.png [FROM TO]`.

Frame FROM (0) of the clip is the source, frame TO (its last) drives it. The figures of docs/models.md are made so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fomm_cli import draw
from fomm_cli.errors import FommError
from fomm_cli.media.image import fit, write_image
from fomm_cli.media.video import read_frames
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.weights.load import load_model

SHOWN = 6
"""Candidates that are shown: the background's and those with the largest shares of the picture."""
SIDE = 112
OUTSIDE = np.uint8(216)


@torch.inference_mode()
def anatomy(model: AnimationModel, source: draw.Picture, driving: draw.Picture) -> draw.Picture:
    """Points of both frames, the flow, occlusion, the warped source and the result; below, candidates: where each
    looks, the source as it would have it, and its share of the picture.

    source, driving  uint8 (H, W, 3) of the model's size
    """
    pictures = to_tensor(np.stack([source, driving]), next(model.parameters()).device)
    pose_source, pose_driving = model.detect(pictures[:1]), model.detect(pictures[1:])
    encoded: Any = model.encode(pictures[:1])
    out = model.render(encoded, pose_source, pose_driving, deformed=True)
    motion = out.motion
    if motion.flow.shape[-1] != 2:
        raise FommError("These weights move a volume: its candidates are no pictures.", "Take another family's.")
    assert out.deformed is not None
    looks = _looks(model, encoded.small, pose_source, pose_driving)
    shares = motion.mask[0].mean(dim=(1, 2))
    chosen = [0, *(1 + shares[1:].argsort(descending=True)[: SHOWN - 1]).tolist()]
    whole: list[draw.Picture | None] = [
        _marked(source, pose_source),
        _marked(driving, pose_driving),
        draw.flow(motion.flow[0].cpu()),
        None if out.occlusion is None else draw.occlusion(out.occlusion[0].cpu()),
        to_frames(out.deformed)[0],
        to_frames(out.prediction)[0],
    ]
    parts: list[list[draw.Picture | None]] = [
        [looks[n] for n in chosen],
        list(to_frames(motion.candidates_warped[0][chosen])),
        [draw.occlusion(motion.mask[0, n].cpu()) for n in chosen],
    ]
    top = _sheet([whole], ["source, p", "driving, p", "F", "o", "S(F)", "result"])
    below = _sheet(parts, ["k = 0", *(f"k = {n}" for n in chosen[1:])], ["T", "S(T)", "m"])
    wider = below.shape[1] - top.shape[1]  # by the labels, as a rule
    top = np.pad(top, ((0, 0), (max(wider, 0), 0), (0, 0)), constant_values=255)
    below = np.pad(below, ((0, 0), (0, max(-wider, 0)), (0, 0)), constant_values=255)
    return np.concatenate([top, below])


def _sheet(rows: list[list[draw.Picture | None]], columns: list[str], labels: Sequence[str] = ()) -> draw.Picture:
    return draw.sheet([[None if each is None else _sized(each) for each in row] for row in rows], columns, labels)


def _looks(model: AnimationModel, small: Tensor, source: Any, driving: Any) -> list[draw.Picture]:
    """The flow of each candidate, grey where it looks outside: the network warps a picture of the coordinates.

    No candidate depends on what it warps, so these are the candidates of the frame itself.
    """
    height, width = small.shape[2:]
    corners = model.config.align_corners  # else -1 and 1 are the outer edges of the border's pixels
    lines = [torch.linspace(-1, 1, n) * (1 if corners else (n - 1) / n) for n in (height, width)]
    rows, columns = torch.meshgrid(*lines, indexing="ij")
    places = torch.stack([columns, rows, torch.ones_like(rows)])[None].to(small)
    dense: Any = model.dense_motion
    seen = dense(places, source, driving).candidates_warped[0].permute(0, 2, 3, 1).cpu().numpy()  # (N, h, w, 3)
    inside = seen[..., 2:]
    looks = seen[..., :2] / inside.clip(min=1e-3)
    return [np.where(there > 0.4, draw.flow(look), OUTSIDE) for look, there in zip(looks, inside, strict=True)]


def _marked(picture: draw.Picture, pose: Any) -> draw.Picture:
    """The points of a pose, and their frames where it has them, on an enlarged picture."""
    frames = getattr(pose, "jacobian", None)
    large = _sized(picture)
    return draw.keypoints(large, pose.value[0].cpu(), None if frames is None else frames[0].cpu())


def _sized(picture: draw.Picture) -> draw.Picture:
    return fit(picture, (SIDE, SIDE))


def main(weights: str, clip: str, out: str, first: str = "0", last: str = "-1") -> None:
    """Read, draw, write."""
    model = load_model(weights, "cpu")
    frames = [fit(frame, model.size) for frame in read_frames(Path(clip))]
    write_image(Path(out), anatomy(model, frames[int(first)], frames[int(last)]))


if __name__ == "__main__":
    main(*sys.argv[1:])

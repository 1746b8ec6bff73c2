"""Draws toons, and says where their eyes and mouths are."""

import torch

from fomm_cli.data.toon import face, hair, scenery
from fomm_cli.data.toon.canvas import Canvas, Frame
from fomm_cli.data.toon.person import Identity
from fomm_cli.data.toon.rig import Rig, rig
from fomm_cli.data.toon.trajectories import Motion

_CHUNK_PIXELS = 2**18  # pictures painted at once on a CPU: about what its cache holds


def draw(identity: Identity, motion: Motion, size: int = 128, device: torch.device | str | None = None) -> torch.Tensor:
    """The pictures of people in poses.

    identity  batch (B,) or (1,)
    motion    batch (B,) or (1,)
    size      pixels of a side
    device    where to draw; where the parameters are if None

    returns   (B, 3, size, size) in [0, 1]
    """
    if device is not None:
        identity, motion = identity.to(device), motion.to(device)
    batch = max(len(identity), len(motion))
    on_cpu = motion.roll.device.type == "cpu"
    step = max(1, _CHUNK_PIXELS // size**2) if on_cpu else batch
    parts = []
    with torch.no_grad():
        for start in range(0, batch, step):
            who = identity if len(identity) == 1 else identity[start : start + step]
            pose = motion if len(motion) == 1 else motion[start : start + step]
            parts.append(_paint(who, pose, size))
    return torch.cat(parts)


def _paint(identity: Identity, motion: Motion, size: int) -> torch.Tensor:
    stage = rig(identity, motion)
    canvas = Canvas(len(stage.identity), size, motion.roll.device)
    scenery.background(identity, canvas)
    hair.back_hair(stage, canvas)
    scenery.body(stage, canvas)
    scenery.neck(stage, canvas)
    hair.buns(stage, canvas)
    face.ears(stage, canvas)
    cap = face.head(stage, canvas)
    face.mouth(stage, canvas)
    face.moustache(stage, canvas)
    for side in (0, 1):
        face.eye(stage, canvas, side)
    for side in (0, 1):
        face.brow(stage, canvas, side)
    face.nose(stage, canvas)
    cap.paint()
    face.glasses(stage, canvas)
    return canvas.image.clamp_(0, 1)


def boxes(identity: Identity, motion: Motion, size: int = 128) -> torch.Tensor:
    """The boxes around the left eye, the right eye (of the picture) and the mouth, whatever they are doing.

    returns (B, 3, 4) int64: left, top, right, bottom in pixels, right and bottom excluded, at least one pixel each
    """
    stage: Rig = rig(identity, motion)
    i = stage.identity
    half = i.mouth_w * 1.2 + 0.06
    frames: list[tuple[Frame, torch.Tensor, torch.Tensor]] = [
        (stage.eye(0), i.eye_w + 0.06, i.eye_h + 0.06),
        (stage.eye(1), i.eye_w + 0.06, i.eye_h + 0.06),
        (stage.mouth, half, torch.full_like(half, 0.30)),
    ]
    found = []
    for frame, ru, rv in frames:
        w, h = frame.extent(ru, rv)
        edges = torch.stack([frame.cx - w, frame.cy - h, frame.cx + w, frame.cy + h], -1)
        pixels = (edges + 1) * (size / 2)
        low = pixels[:, :2].floor().clamp(0, size - 1)
        high = torch.maximum(pixels[:, 2:].ceil().clamp(1, size), low + 1)
        found.append(torch.cat([low, high], -1).long())
    return torch.stack(found, 1)

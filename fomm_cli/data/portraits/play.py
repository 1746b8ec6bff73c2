"""What a person does in a clip: the trajectories of the toons, told to a head of 43 expressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fomm_cli.data import toon
from fomm_cli.data.portraits.head import head_model
from fomm_cli.data.toon.parameters import uniform
from fomm_cli.data.toon.trajectories import SCALE_RANGE, wander

# One walk each, so that no two mouths move alike: expressions, full size, and how rare it is.
_ACCENTS = (
    (("mouthStretch",), 0.45, 0.4),
    (("mouthUpperUp",), 0.45, 0.4),
    (("mouthLowerDown",), 0.45, 0.4),
    (("mouthPress", "mouthRollLower"), 0.40, 0.4),
    (("mouthRollUpper",), 0.35, 0.8),
    (("noseSneer",), 0.40, 0.8),
    (("cheekPuff",), 0.30, 1.1),
    (("mouthShrugLower",), 0.40, 0.6),
    (("jawLeft",), 0.30, 0.7),
    (("jawRight",), 0.30, 0.7),
    (("mouthLeft",), 0.35, 0.7),
    (("mouthRight",), 0.35, 0.7),
    (("mouthSmile_L",), 0.30, 0.6),
    (("mouthSmile_R",), 0.30, 0.6),
    (("browOuterUp_L", "browInnerUp_L"), 0.40, 0.6),
    (("browOuterUp_R", "browInnerUp_R"), 0.40, 0.6),
)
_FARTHEST = 0.6  # half frame sides: a head beyond would leave the frame
_LIPS_SHUT = ("mouthPress", "mouthRollLower", "mouthRollUpper", "cheekPuff")  # what an open mouth cannot do
_STREAM = 40  # of random numbers; the trajectories have those below 32


@dataclass(frozen=True)
class Acting:
    """Everything about a clip that is not who is in it and where.

    motion   as of a toon, batch axis (frames,); shifts in half frame sides
    accents  (frames, 16): walks of variance one, each for some expressions of `_ACCENTS`
    talk     how wide the mouth opens
    """

    motion: toon.Motion
    accents: torch.Tensor
    talk: float

    def __len__(self) -> int:
        return len(self.motion)

    def first(self) -> Acting:
        """The first frame alone."""
        return Acting(self.motion[:1], self.accents[:1], self.talk)

    def relative(self, driving: Acting) -> Acting:
        """This start (the first frame) plus the change of another since their start."""
        moved = toon.relative(self.motion[0], driving.motion)
        return Acting(moved, self.accents[:1] + driving.accents - driving.accents[:1], driving.talk)


def sample_acting(
    seed: int, number: int, frames: int, rate: float, held_out: bool, still_pose: bool = False, still_head: bool = False
) -> Acting:
    """The play of one clip; `number` is its address, below 2^32."""
    motion = toon.sample_motion(seed, frames, 1, number, rate, held_out)[0]
    at = torch.tensor([number])
    mood, times = uniform(seed, at, 4, _STREAM, held_out)[0].tolist(), torch.arange(frames) / rate
    # Real heads travel further than toons: in most clips to learn from, shifts and sizes are drawn out.
    far, near = 1.0, 1.0
    if not held_out:
        far = 0.7 + 0.7 * mood[1] if mood[0] < 0.4 else 1.4 + 1.2 * mood[1]
        near = (1.0, 1.6, 2.4)[int(3 * mood[2])]
    motion = toon.Motion(
        **{
            **vars(motion),
            "shift": _FARTHEST * (motion.shift * far / _FARTHEST).tanh(),
            "scale": (motion.scale**near).clamp(*SCALE_RANGE),
        }
    )
    if still_pose:
        motion = toon.still_pose(motion)
    if still_head:
        motion = toon.still_head(motion)
    numbers = uniform(seed, at, len(_ACCENTS) * 12, _STREAM + 1, held_out).reshape(len(_ACCENTS), 12)
    return Acting(motion, wander(numbers, times, 0.06, 0.7).T, 0.75 + 0.75 * mood[3])


def expressions(acting: Acting, rest: np.ndarray, kept: float) -> np.ndarray:
    """The 43 expressions of each frame, 0 to about 1.2: (frames, 43).

    rest  (43,) of the picture: brows as they are, and of the mouth's expression the share `kept`
    """
    model = head_model()
    m = {name: value.numpy() for name, value in vars(acting.motion).items()}
    below = np.array([name.startswith(("mouth", "jaw")) for name in model.names])
    found = np.repeat(np.where(below, kept * rest, rest)[None], len(acting), 0)

    def add(names: str, amount: np.ndarray) -> None:
        found[:, model.columns(*names.split())] += amount[:, None]

    talk, pucker = (m["open"] * acting.talk).clip(0, 1.2), m["pucker"]
    add("jawOpen", 0.75 * talk * (1 - 0.25 * pucker))
    add("mouthLowerDown", 0.28 * talk * (1 - pucker))
    add("mouthUpperUp", 0.24 * talk * (1 - pucker))
    add("mouthFunnel", pucker * (0.7 * talk + 0.15))
    add("mouthPucker", 0.75 * pucker * (1 - 0.4 * talk))
    happy, sad = m["smile"].clip(0), (-m["smile"]).clip(0)
    add("mouthSmile", 0.75 * happy * (1 - 0.5 * kept))
    add("cheekSquint", 0.4 * happy)
    add("eyeSquint", 0.2 * happy)
    add("mouthDimple", 0.2 * happy)
    add("mouthFrown", 0.6 * sad)
    raised, knit = m["brow"].clip(0), (-m["brow"]).clip(0)
    add("browInnerUp browOuterUp", 0.8 * raised)
    add("eyeWide", 0.35 * raised)
    add("browDown", 0.9 * knit)
    add("eyeSquint", 0.3 * knit)
    shut = 1 - (2 * talk).clip(0, 1)
    for (names, size, rare), walk in zip(_ACCENTS, acting.accents.numpy().T, strict=True):
        amount = size * (walk - rare).clip(0, 1.6)
        for name in names:
            add(name, amount * shut if name in _LIPS_SHUT else amount)
    found = found.clip(0, 1.2)
    blink = ((m["blink"] - 0.06) / 0.94).clip(0, 1)  # a toon's open eye droops by that much
    found[:, model.columns("eyeBlink_R")], found[:, model.columns("eyeBlink_L")] = blink[:, :1], blink[:, 1:]
    return found.astype(np.float32)

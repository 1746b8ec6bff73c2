"""Where each part of a toon stands in the picture: the frames that drawing and measuring share."""

from dataclasses import dataclass
from functools import cached_property

import torch

from fomm_cli.data.toon.canvas import Frame
from fomm_cli.data.toon.person import Identity
from fomm_cli.data.toon.trajectories import Motion


@dataclass(frozen=True)
class Rig:
    """Identity and motion with the same batch axis (B,), turned into frames.

    The head is a ball: a feature at (x, y, z) on it is turned by yaw and pitch, so that near parts travel further than
    far ones, and is foreshortened as it nears the edge.
    """

    identity: Identity
    motion: Motion

    @cached_property
    def head(self) -> Frame:
        """Middle of the head; one unit is half its height."""
        i, m = self.identity, self.motion
        s = i.size * m.scale
        cos, sin = s * m.roll.cos(), s * m.roll.sin()
        return Frame(m.shift[:, 0], m.shift[:, 1] - 0.04, cos, sin, -sin, cos)

    @cached_property
    def body(self) -> Frame:
        """Middle of the shoulder line; the body follows the head by a part of its way and does not tilt."""
        i, m = self.identity, self.motion
        s = i.size * m.scale.sqrt()
        zero = torch.zeros_like(s)
        return Frame(0.35 * m.shift[:, 0], 0.3 * m.shift[:, 1] - 0.04 + 1.25 * i.size, s, zero, zero, s)

    @cached_property
    def turn(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cosine and sine of yaw, then of pitch."""
        m = self.motion
        return m.yaw.cos(), m.yaw.sin(), m.pitch.cos(), m.pitch.sin()

    def place(
        self, x: torch.Tensor | float, y: torch.Tensor | float, lift: float = 0.0, angle: torch.Tensor | float = 0.0
    ) -> Frame:
        """The frame of a feature on the front of the head; `lift` raises it above the skin."""
        cos_yaw, sin_yaw, cos_pitch, sin_pitch = self.turn
        x = torch.as_tensor(x, device=cos_yaw.device).expand_as(cos_yaw)
        y = torch.as_tensor(y, device=cos_yaw.device).expand_as(cos_yaw)
        z0 = 0.80 * (1 - (x / 1.05).square() - 0.55 * y.square()).clamp(min=0.16).sqrt()
        z = z0 + lift
        u = x * cos_yaw + z * sin_yaw
        z1 = z * cos_yaw - x * sin_yaw
        v = y * cos_pitch + z1 * sin_pitch
        z2 = z1 * cos_pitch - y * sin_pitch
        return self.head.child(u, v, (z1 / z).clamp(0.30, 1.12), (z2 / z1.clamp(min=0.1)).clamp(0.6, 1.08), angle)

    def side_point(self, x: torch.Tensor, y: torch.Tensor | float, z: float) -> tuple[torch.Tensor, torch.Tensor]:
        """A point inside or behind the head, in head units."""
        cos_yaw, sin_yaw, cos_pitch, sin_pitch = self.turn
        u = x * cos_yaw + z * sin_yaw
        z1 = z * cos_yaw - x * sin_yaw
        return u, y * cos_pitch + z1 * sin_pitch

    def eye(self, side: int) -> Frame:
        """side 0: left in the picture, 1: right."""
        i = self.identity
        sign = 2 * side - 1
        return self.place(sign * i.eye_x, i.eye_y, angle=-sign * i.eye_tilt)

    def mouth_size(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Half width of the mouth and half height of its opening, in head units."""
        i, m = self.identity, self.motion
        width = i.mouth_w * (1 + 0.18 * m.smile - 0.12 * m.open) * (1 - 0.45 * m.pucker)
        return width, 0.012 + m.open * (0.24 + 0.05 * m.pucker)

    @cached_property
    def mouth(self) -> Frame:
        i, m = self.identity, self.motion
        return self.place(torch.zeros_like(i.size), i.mouth_y + 0.045 * m.open, lift=0.03)


def rig(identity: Identity, motion: Motion) -> Rig:
    """Brings both to the same batch: either may be of one item."""
    batch = max(len(identity), len(motion))
    if len(identity) != batch:
        identity = identity.map(lambda x: x.expand(batch, *x.shape[1:]))
    if len(motion) != batch:
        motion = motion.map(lambda x: x.expand(batch, *x.shape[1:]))
    return Rig(identity, motion)

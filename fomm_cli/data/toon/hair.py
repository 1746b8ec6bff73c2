"""Hair: what hangs behind the head, buns and pigtails, and the cap with its fringe."""

import torch

from fomm_cli.data.toon.canvas import Canvas, Patch, ellipse, in_pixels, rounded_box, smooth_min, step, wide
from fomm_cli.data.toon.rig import Rig


def back_hair(rig: Rig, canvas: Canvas) -> None:
    """Behind everything but the wall; it hangs, so it follows the tilt of the head by half."""
    i, m = rig.identity, rig.motion
    u0, v0 = rig.side_point(torch.zeros_like(i.size), -0.1, -0.45)
    frame = rig.head.child(u0, v0, angle=-0.5 * m.roll)
    top = torch.full_like(i.back, -0.45)
    bottom = torch.maximum(i.back * i.hair, top + 0.5)
    half = (bottom - top) / 2
    patch = canvas.patch(frame, i.back_width + 0.25, torch.maximum(bottom, 0.95 + i.hair_volume) + 0.2)
    u, v = patch.local(frame)
    # Waves grow towards the ends.
    wave = wide(i.hair_curl) * (wide(i.curl_count) * 0.55 * v + 1.5 * u.sign()).sin() * step(v, -0.3, 0.8)
    # The back of the skull down to the nape, and a curtain below it for those whose hair is long.
    skull = ellipse(u, v, i.width + 0.6 * i.hair_volume, 0.88 + i.hair_volume)
    skull = -smooth_min(-skull, wide(bottom.clamp(min=0.42)) - v, 0.35)
    width = torch.minimum(i.back_width, half + 0.25)
    curtain = rounded_box(u, v - wide((top + bottom) / 2), width, half, torch.minimum(width, half) * 0.95)
    d = smooth_min(skull, curtain, 0.15) - 1.6 * wave
    strand = 0.05 * (u * 19 + 2.0 * (v * 3).sin()).sin()
    light = 0.66 + strand - 0.12 * step(v, 0.2, 1.6)
    color = i.hair_color[..., None, None] * light[:, None]
    patch.paint(patch.cover(d, frame) * wide((i.hair * 4).clamp(max=1)), color)


def buns(rig: Rig, canvas: Canvas) -> None:
    """A bun on top and two pigtails; of size zero for those who wear none."""
    i, m = rig.identity, rig.motion
    zero = torch.zeros_like(i.size)
    for side in (0, -1, 1):
        size = (i.bun if side == 0 else i.pigtail) * i.hair
        if canvas.bounded and not bool((size > 0).any()):
            continue
        if side == 0:
            u0, v0 = rig.side_point(zero, -1.02 - i.hair_volume - 0.35 * size, -0.25)
            frame = rig.head.child(u0, v0)
            ru, rv = size, size * 0.88
        else:
            u0, v0 = rig.side_point(side * (i.width + i.hair_volume + 0.30 * size), i.pigtail_y, -0.15)
            # Pigtails lag behind a tilted head: they hang.
            frame = rig.head.child(u0, v0 + 0.5 * size, angle=-0.7 * m.roll - side * 0.25)
            ru, rv = size * 0.72, size * 1.25
        patch = canvas.patch(frame, ru + 0.1, rv + 0.1)
        u, v = patch.local(frame)
        bump = wide(i.hair_curl) * 0.5 * (9 * torch.atan2(v, u)).sin()
        d = ellipse(u, v, ru.clamp(min=0.01), rv.clamp(min=0.01)) - bump * wide((size * 5).clamp(max=1))
        light = 0.84 - 0.25 * step(d, -0.16, 0.0) + 0.16 * torch.exp(-((u + 0.10) ** 2 + (v + 0.12) ** 2) * 22)
        alpha = patch.cover(d, frame) * wide((size * 30).clamp(max=1))
        patch.paint(alpha, (i.hair_color[..., None, None] * light[:, None]).clamp(0, 1))


class Cap:
    """The hair over the skull: computed with the head, whose forehead its fringe shades, and painted after the face."""

    def __init__(self, rig: Rig, patch: Patch, u: torch.Tensor, v: torch.Tensor) -> None:
        i, m = rig.identity, rig.motion
        volume = i.hair_volume * (0.25 + 0.75 * i.hair)
        ru, rv = i.width + volume, 0.90 + 1.15 * volume
        # Longitude on the head of what the pixel shows: turning the head slides the hair line round. Beyond the skull
        # it stays that of its edge, so that hair never floats beside a bare face.
        parallel = (1 - ((v + 0.10) / 0.95).square()).clamp_(min=0.25).sqrt_()
        ball = ((u + 0.06 * wide(m.yaw.sin())) / (wide(i.width) * parallel)).clamp(-0.999, 0.999)
        u = u + 0.10 * wide(m.yaw.sin())  # the back of the head goes against the face
        lon = ball.asin() - wide(m.yaw)
        front = (1 - ball * ball).sqrt_()
        lat = v - wide(0.62 * m.pitch.sin()) * front
        from_part = lon - wide(i.fringe_part)
        locks = wide(i.fringe_wave) * (1 - (wide(i.fringe_count) * from_part).sin().abs())
        line = (
            wide(i.fringe_y)
            + wide(i.fringe_sweep) * from_part
            + wide(i.fringe_arch) * (1 - 1 / (1 + 4 * from_part * from_part))
            - locks
        )
        ear = step(lon.abs(), 0.78, 1.18)
        line = line + (wide(i.side) - line) * ear
        nape = step(lon.abs(), 1.6, 1.95)
        line = line + (line.clamp(min=0.55) - line) * nape
        line = torch.lerp(torch.full_like(line, -1.25), line, wide(i.hair))
        curl = wide(i.hair_curl) * (wide(i.curl_count) * torch.atan2(u, -v)).sin()
        outer = ellipse(u, v + 0.12, ru, rv) - curl
        self.rig, self.patch, self.lon, self.lat, self.outer = rig, patch, lon, lat, outer
        self.below_line = lat - line
        self.edge = in_pixels(torch.maximum(self.below_line, outer))

    def shadow(self) -> torch.Tensor:
        """(B, h, w) 0..1: how much the fringe darkens the skin below it."""
        return (1 - step(self.below_line, 0.0, 0.13)) * wide(self.rig.identity.hair)

    def paint(self) -> None:
        i = self.rig.identity
        alpha = (0.5 - self.edge).clamp_(0, 1) * wide((i.hair * 8).clamp(max=1))
        strand = (self.lon * 17 + 2.5 * (self.lat * 4).sin()).sin()
        shine = torch.exp(-(((self.lat + 0.72 + 0.05 * strand) / 0.10) ** 2)) * step(-self.lon, -0.7, 0.7)
        light = 0.95 + 0.05 * strand - 0.22 * step(self.outer, -0.20, 0.0) - 0.10 * step(self.lon, -0.2, 1.4)
        light = light - 0.12 * step(self.below_line, -0.12, 0.0)
        color = i.hair_color[..., None, None] * light[:, None] + 0.20 * shine[:, None]
        self.patch.paint(alpha, color.clamp(0, 1))

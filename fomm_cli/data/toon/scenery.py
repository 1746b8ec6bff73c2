"""What stands behind a face: the wall, the shoulders and the neck."""

import torch

from fomm_cli.data.toon.canvas import Canvas, Frame, ellipse, rounded_box, step, wide
from fomm_cli.data.toon.person import Identity
from fomm_cli.data.toon.rig import Rig


def background(identity: Identity, canvas: Canvas) -> None:
    """A wall with a soft light and a faint pattern. It does not move: the camera stands still."""
    i = identity
    x, y = canvas.axis[None, None, :], canvas.axis[None, :, None]
    t = 0.5 + 0.38 * (wide(i.sky_angle.cos()) * x + wide(i.sky_angle.sin()) * y)
    glow = torch.exp(-1.6 * ((x + 0.35) ** 2 + (y + 0.45) ** 2))
    cos, sin = wide(i.pattern_angle.cos()), wide(i.pattern_angle.sin())
    along, across = cos * x + sin * y, cos * y - sin * x
    waves = (along * wide(i.pattern_count)).sin() * (
        1 - wide(i.pattern_round) * (1 - (across * wide(i.pattern_count)).sin())
    )
    figure = 1 + wide(i.pattern) * (step(waves, 0.1, 0.45) - 0.4) + 0.10 * glow - 0.05
    color = torch.lerp(i.sky[..., None, None], i.sky_second[..., None, None], t[:, None])
    canvas.image.copy_((color * figure[:, None]).clamp(0, 1).expand_as(canvas.image))


def body(rig: Rig, canvas: Canvas) -> None:
    i = rig.identity
    frame = rig.body
    patch = canvas.patch(frame, i.shoulder + 0.1, 3.0)
    u, v = patch.local(frame)
    slope = v - 0.17 * u * u
    one = torch.ones_like(i.shoulder)
    d = rounded_box(u, slope - 1.95, i.shoulder, 2 * one, 0.75 * one)
    alpha = patch.cover(d, frame)
    cos, sin = wide(i.stripe_angle.cos()), wide(i.stripe_angle.sin())
    wave = ((cos * slope + sin * u) * wide(i.stripe_count)).sin()
    stripes = step(wave, 0.0, 0.25) * wide(i.stripe)
    light = 1.04 - 0.16 * u - 0.10 * v - 0.30 * step(d, -0.22, 0.0)
    color = torch.lerp(i.cloth[..., None, None], i.cloth_second[..., None, None], stripes[:, None])
    patch.paint(alpha, (color * light[:, None]).clamp(0, 1))
    # The neckline: skin showing above the collar.
    wide_neck = i.neck + 0.10
    patch = canvas.patch(frame, wide_neck + 0.2, i.neckline + 0.45)
    u, v = patch.local(frame)
    d = ellipse(u, v + 0.02, wide_neck, i.neckline + 0.22)
    cloth = patch.cover(rounded_box(u, v - 0.17 * u * u - 1.95, i.shoulder, 2 * one, 0.75 * one), frame)
    collar = patch.cover(d - wide(i.collar), frame) * cloth
    patch.paint(collar, i.cloth_second * 0.9 + 0.05)
    patch.paint(patch.cover(d, frame) * cloth, torch.lerp(i.skin, i.shadow, 0.30))


def neck(rig: Rig, canvas: Canvas) -> None:
    """A column from the shoulders to the jaw, wherever the head has gone."""
    i, m = rig.identity, rig.motion
    foot_x, foot_y = rig.body.point(0.0, 0.10)
    top_u, top_v = rig.side_point(torch.zeros_like(i.neck), 0.35, -0.12)
    top_x, top_y = rig.head.point(top_u, top_v)
    dx, dy = top_x - foot_x, top_y - foot_y
    length = (dx * dx + dy * dy).sqrt().clamp(min=1e-3)
    unit = i.size * m.scale.sqrt()
    # u across, v along the neck, both in head units; v grows downwards.
    frame = Frame(foot_x, foot_y, -dy / length * unit, dx / length * unit, -dx / length * unit, -dy / length * unit)
    reach = length / unit
    patch = canvas.patch(frame, i.neck + 0.25, reach)
    u, v = patch.local(frame)
    # A column whose foot widens into the neckline and ends round, in the neckline's own colour.
    column = u.abs() - wide(i.neck) - 0.10 * step(v, -0.35, 0.10)
    foot = ellipse(u, v - 0.02, i.neck + 0.09, torch.full_like(i.neck, 0.16))
    d = torch.minimum(torch.maximum(column, torch.maximum(v - 0.02, -v - wide(reach))), foot)
    # The jaw's shadow falls on the neck, a little to the right: the light comes from the upper left.
    high = step(-v / wide(reach), 0.10, 0.65)
    shade = 0.30 + 0.55 * high + 0.25 * step(u, -0.1, 0.5) * step(-v / wide(reach), 0.0, 0.3)
    color = torch.lerp(i.skin[..., None, None], i.shadow[..., None, None], shade.clamp(0, 1)[:, None])
    patch.paint(patch.cover(d, frame), color)

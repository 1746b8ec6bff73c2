"""The face: ears, head, eyes, brows, nose, mouth, beard and glasses."""

import torch

from fomm_cli.data.toon.canvas import Canvas, circle, ellipse, rounded_box, smooth_min, step, wide
from fomm_cli.data.toon.hair import Cap
from fomm_cli.data.toon.rig import Rig


def _tall(color: torch.Tensor) -> torch.Tensor:
    """(B, 3) -> (B, 3, 1, 1)."""
    return color[..., None, None]


def ears(rig: Rig, canvas: Canvas) -> None:
    i = rig.identity
    for side in (-1, 1):
        u0, v0 = rig.side_point(side * (i.width + 0.02), 0.08, -0.12)
        frame = rig.head.child(u0, v0, angle=side * 0.18)
        patch = canvas.patch(frame, i.ear + 0.1, i.ear * 1.3 + 0.25)
        u, v = patch.local(frame)
        d = ellipse(u, v, i.ear * 0.82, i.ear * 1.15)
        shade = step(d, -0.10, 0.0) * 0.55 + (0.3 if side > 0 else 0.0)
        patch.paint(patch.cover(d, frame), torch.lerp(_tall(i.skin), _tall(i.shadow), shade[:, None]))
        inner = ellipse(u + side * 0.02, v, i.ear * 0.42, i.ear * 0.70)
        patch.paint(patch.cover(inner, frame) * 0.65, i.shadow)
        ring = circle(u - side * 0.03, v - wide(i.ear * 1.12 + i.earring * 0.5), i.earring)
        alpha = patch.cover(ring, frame) * wide((i.earring * 50).clamp(max=1))
        patch.paint(alpha, torch.lerp(i.cloth_second, torch.ones_like(i.skin), 0.35))


def head(rig: Rig, canvas: Canvas) -> Cap:
    """Skull, jaw, cheeks and beard. Returns the hair over it, to be painted after the face."""
    i, m = rig.identity, rig.motion
    frame = rig.head
    reach = 0.35 + i.hair_volume
    patch = canvas.patch(frame, i.width + reach, 0.95 + reach)
    u, v = patch.local(frame)
    _, sin_yaw, _, sin_pitch = rig.turn
    jaw_u = 0.26 * sin_yaw
    jaw_v = i.chin - 0.60 + 0.10 * sin_pitch + 0.07 * m.open
    skull = ellipse(u + wide(0.06 * sin_yaw), v + 0.14, i.width, torch.full_like(i.width, 0.86))
    jaw = ellipse(u - wide(jaw_u), v - wide(jaw_v), i.jaw, torch.full_like(i.jaw, 0.60))
    d = smooth_min(skull, jaw, 0.30)
    alpha = patch.cover(d, frame)
    patch.mask.copy_(alpha)
    cap = Cap(rig, patch, u, v)
    # Light from the upper left: shade the far side and the rim, and what the fringe covers.
    far = step(0.75 * u + 0.45 * v, 0.05, 1.1)
    shade = 0.55 * far + 0.30 * step(d, -0.16, 0.0) + 0.42 * cap.shadow()
    color = torch.lerp(_tall(i.skin) * 1.03, _tall(i.shadow), shade.clamp_(0, 1)[:, None])
    # Beard: below a line that runs from ear to ear under the nose.
    nose = wide(i.nose_y * 0.9 + 0.62 * sin_pitch)
    centre = u - wide(0.75 * sin_yaw)
    line = nose + 0.12 + 0.10 * (centre * centre) - 0.28 * step(centre.abs(), 0.42, 0.72)
    beard = step(v - line, 0.0, 0.09) * wide(i.beard)
    color = torch.lerp(color, _tall(i.hair_color) * 0.80, beard[:, None])
    patch.paint(alpha, color.clamp_(0, 1))
    for side in (-1, 1):
        _cheek(rig, canvas, side)
    return cap


def _cheek(rig: Rig, canvas: Canvas, side: int) -> None:
    i, m = rig.identity, rig.motion
    frame = rig.place(side * 0.50, i.nose_y + 0.10 - 0.03 * m.smile)
    patch = canvas.patch(frame, 0.48, 0.40)  # as far as the blush reaches
    u, v = patch.local(frame)
    blob = torch.exp(-(u * u * 26 + v * v * 40))
    blob = blob * (1 - 0.6 * wide(i.beard)) * patch.mask
    rose = i.skin * torch.tensor([1.0, 0.62, 0.60], device=u.device)
    patch.paint(blob * wide(i.blush * (0.75 + 0.25 * m.smile)), rose)
    dots = step((u * 34 + 1.1 * (v * 21).sin()).sin() * (v * 31 + (u * 17).sin()).sin(), 0.45, 0.85)
    patch.paint(dots * step(blob, 0.25, 0.6) * wide(i.freckles), i.shadow * 0.85)


def eye(rig: Rig, canvas: Canvas, side: int) -> None:
    i, m = rig.identity, rig.motion
    frame = rig.eye(side)
    patch = canvas.patch(frame, i.eye_w + 0.14, i.eye_h + 0.16)
    u, v = patch.local(frame)
    rw, rh = wide(i.eye_w), wide(i.eye_h)
    blink = wide(m.blink[:, side])
    ball = ellipse(u, v, i.eye_w, i.eye_h)
    arch = (1 - (u / rw).square()).clamp_(min=0).sqrt_()
    # The lid sweeps from the upper rim to just above the lower one; a smile pushes the lower one up.
    upper = rh * arch * (-1 + 0.06 * wide(m.brow.clamp(max=0)) + 1.84 * blink) + 0.02 * blink
    lower = rh * arch * (1 - 0.30 * wide(m.smile.clamp(min=0)) * (1 - blink))
    gap = torch.maximum(ball, torch.maximum(upper - v, v - lower))
    # Eyelids: the whole socket in the skin's shadow colour.
    lid_color = torch.lerp(torch.lerp(i.skin, i.shadow, 0.35), i.lip_color * 0.9, i.lid[:, None] * 0.6)
    patch.paint(patch.cover(ball - 0.015, frame) * patch.mask, lid_color)
    # The eyeball: white, shaded by the lid; iris, pupil and the lights in them.
    white = 1.0 - 0.30 * (1 - step(v - upper, 0.0, 0.14)) - 0.08 * step(u, 0.0, 0.25)
    color = white[:, None] * torch.tensor([1.0, 0.99, 0.98], device=u.device)[:, None, None]
    radius = i.iris * torch.minimum(i.eye_h, i.eye_w)
    x = u - wide(m.gaze[:, 0] * 0.52 * (i.eye_w - 0.55 * radius))
    y = v - wide(m.gaze[:, 1] * 0.40 * (i.eye_h - 0.45 * radius))
    r = (x * x + y * y).sqrt_() / wide(radius)
    pixels = wide(frame.unit() * radius * (patch.size / 2))  # per unit of r
    tint = (0.80 + 0.55 * step(y / wide(radius), -0.5, 0.9) - 0.55 * step(r, 0.78, 1.0))[:, None]
    color = torch.lerp(color, (_tall(i.iris_color) * tint).clamp(0, 1), (0.5 + (1 - r) * pixels).clamp(0, 1)[:, None])
    color = color * (1 - (0.5 + (0.52 - r) * pixels).clamp(0, 1) * 0.93)[:, None]
    big = ((x + 0.32 * wide(radius)).square() + (y + 0.36 * wide(radius)).square()).sqrt_() / wide(radius)
    small = ((x - 0.36 * wide(radius)).square() + (y - 0.42 * wide(radius)).square()).sqrt_() / wide(radius)
    light = torch.maximum((0.5 + (0.30 - big) * pixels).clamp(0, 1), 0.7 * (0.5 + (0.15 - small) * pixels).clamp(0, 1))
    color = color + (1 - color) * light[:, None]
    patch.paint(patch.cover(gap, frame) * patch.mask, color)
    # The lashes: a dark rim along the upper lid, heavier at the outer corner, and a thin one below.
    sign = 2 * side - 1
    along = (sign * u / rw).clamp(-1.2, 1.2)
    on_top = 1 - step((v - 0.5 * (upper + lower)) / rh, -0.12, 0.12) * (1 - blink)
    thickness = wide(i.lash) * (0.75 + 0.35 * along) * (0.30 + 0.70 * on_top)
    rim = gap.abs() - thickness
    rim = torch.maximum(rim, ball - 0.03)
    patch.paint(patch.cover(rim, frame) * patch.mask * (0.55 + 0.45 * on_top), i.brow_color * 0.35)
    # A wing past the outer corner.
    wing_u, wing_v = u * sign - rw * 0.96, v - (upper * 0 + 0.9 * blink * rh * 0.25)
    wing = (wing_u + wing_v * 0.9).abs() - (0.02 + wide(i.lash) * 0.25) * (1 - step(wing_u, 0.0, 0.12))
    wing = torch.maximum(wing, torch.maximum(wing_u - 0.10, -wing_u))
    patch.paint(patch.cover(wing, frame) * patch.mask * wide(((i.lash - 0.045) * 40).clamp(0, 1)), i.brow_color * 0.35)


def brow(rig: Rig, canvas: Canvas, side: int) -> None:
    i, m = rig.identity, rig.motion
    sign = 2 * side - 1
    raised = i.eye_y - i.brow_y - 0.12 * m.brow
    frame = rig.place(
        sign * (i.eye_x + 0.02), raised, 0.03, angle=sign * (i.brow_tilt + 0.28 * (-m.brow).clamp(min=0)) * -1
    )
    patch = canvas.patch(frame, i.brow_w + 0.1, i.brow_w * 0.6 + 0.15)
    u, v = patch.local(frame)
    t = u / wide(i.brow_w)
    arch = wide((i.brow_arch + 0.25 * m.brow) * i.brow_w)
    slope = 2 * arch * t / wide(i.brow_w)
    # Thin towards the temple.
    thickness = wide(i.brow_t) * (1.05 - 0.45 * (t * sign).clamp(-1, 1)) * (1 - t * t).clamp(min=0).sqrt()
    d = (v - arch * (t * t - 0.5)).abs() / (1 + slope * slope).sqrt() - thickness
    d = torch.maximum(d, u.abs() - wide(i.brow_w))
    patch.paint(patch.cover(d, frame) * patch.mask, i.brow_color)


def nose(rig: Rig, canvas: Canvas) -> None:
    i = rig.identity
    frame = rig.place(torch.zeros_like(i.size), i.nose_y, lift=0.22)
    patch = canvas.patch(frame, i.nose_w + 0.16, i.nose_h + 0.36)
    u, v = patch.local(frame)
    # The bridge's shade and the cast shadow, then the ball of the nose with its light.
    bridge = torch.exp(-(((u - 0.06) / 0.07) ** 2)) * step(v, -0.32, -0.05) * (1 - step(v, -0.02, 0.10))
    patch.paint(0.22 * bridge, i.shadow)
    cast = ellipse(u - 0.03, v - 0.045, i.nose_w, i.nose_h)
    patch.paint(0.55 * (1 - step(cast, -0.05, 0.05)), i.shadow * 0.93)
    d = ellipse(u, v, i.nose_w, i.nose_h)
    red = torch.lerp(i.skin, i.skin * torch.tensor([1.0, 0.74, 0.70], device=u.device), i.nose_tint[:, None])
    shade = step(u / wide(i.nose_w) + v / wide(i.nose_h), 0.3, 1.6) * 0.7
    patch.paint(1 - step(d, -0.035, 0.012), torch.lerp(_tall(red) * 1.02, _tall(i.shadow), shade[:, None]).clamp(0, 1))
    spot = torch.exp(-(((u + 0.35 * wide(i.nose_w)) / 0.035) ** 2) - (((v + 0.40 * wide(i.nose_h)) / 0.030) ** 2))
    patch.paint(0.75 * spot, torch.ones_like(i.skin))
    hole = ellipse(u.abs() - wide(i.nose_w * 0.45), v - wide(i.nose_h * 0.72), i.nose_w * 0.20, i.nose_h * 0.16)
    patch.paint(0.75 * patch.cover(hole, frame), i.shadow * 0.45)


def mouth(rig: Rig, canvas: Canvas) -> None:
    i, m = rig.identity, rig.motion
    frame = rig.mouth
    half, height = rig.mouth_size()
    patch = canvas.patch(frame, half + 0.12, height * 1.4 + 0.28)
    u, v = patch.local(frame)
    t = (u / wide(half)).clamp(-1.25, 1.25)
    round_off = (1 - t * t).clamp(min=0)
    bend = wide((i.mouth_smile + 0.55 * m.smile) * 0.42 * half)
    middle = bend * (0.55 - t * t)  # corners up when happy: v grows downwards
    upper = middle - wide(height * 0.62) * round_off.sqrt() * (1 - 0.35 * wide(m.smile.clamp(min=0)))
    lower = middle + wide(height * 1.10) * round_off.sqrt()
    slope = (1 + ((2 * bend * t) / wide(half)).square()).sqrt()
    gap = torch.maximum(torch.maximum(upper - v, v - lower) / slope, (u.abs() - wide(half)))
    lip = wide(i.lip) * (0.35 + 0.65 * round_off)
    bow = 0.45 * lip * torch.exp(-((t / 0.16) ** 2))  # the dip in the middle of the upper lip
    outer = torch.maximum(
        torch.maximum(upper - lip * 1.1 + bow - v, v - lower - lip * 1.5) / slope, u.abs() - wide(half + 0.03)
    )
    patch.paint(patch.cover(outer, frame) * patch.mask, i.lip_color)
    gloss = torch.exp(-(((v - lower - lip * 0.8) / 0.03) ** 2) - (((u + 0.08) / 0.10) ** 2))
    patch.paint(0.30 * gloss * patch.cover(outer, frame) * patch.mask, torch.ones_like(i.skin))
    # Inside: dark, a tongue at the bottom, teeth at the top.
    inside = patch.cover(gap - 0.006, frame) * patch.mask
    deep = torch.tensor([[0.30, 0.07, 0.10]], device=u.device).expand_as(i.skin)
    patch.paint(inside, deep)
    tongue = ellipse(u, v - lower - wide(0.05 - 0.22 * height), half * 0.62, 0.12 + 0.35 * height)
    shown = inside * wide((m.open * 4 - 0.3).clamp(0, 1))
    pink = torch.tensor([[0.90, 0.42, 0.44]], device=u.device).expand_as(i.skin)
    patch.paint(shown * patch.cover(tongue, frame), pink)
    teeth = torch.maximum(v - upper - wide(0.02 + 0.36 * height), u.abs() - wide(half * 0.86))
    ivory = torch.tensor([[0.99, 0.98, 0.94]], device=u.device).expand_as(i.skin)
    patch.paint(shown * patch.cover(teeth, frame) * wide(1 - 0.8 * m.pucker), ivory)


def moustache(rig: Rig, canvas: Canvas) -> None:
    i, m = rig.identity, rig.motion
    if canvas.bounded and not bool((i.moustache > 0).any()):
        return
    frame = rig.place(torch.zeros_like(i.size), 0.5 * (i.nose_y + i.nose_h + i.mouth_y) - 0.01 * m.open, lift=0.14)
    width = 0.12 + 0.6 * i.moustache
    patch = canvas.patch(frame, width + 0.1, 0.3)
    u, v = patch.local(frame)
    t = (u.abs() / wide(width)).clamp(0, 1)
    middle = 0.07 * t * t - 0.02 - 0.10 * wide(m.smile.clamp(min=0)) * t * t
    thickness = wide(0.03 + 0.14 * i.moustache) * (t * 3).clamp(0.55, 1) * (1 - t * t)
    d = torch.maximum((v - middle).abs() - thickness, u.abs() - wide(width))
    alpha = patch.cover(d, frame) * wide((i.moustache * 12).clamp(max=1))
    light = 0.80 + 0.10 * (u * 60).sin()
    patch.paint(alpha, (_tall(i.hair_color) * light[:, None]).clamp(0, 1))


def glasses(rig: Rig, canvas: Canvas) -> None:
    i = rig.identity
    if canvas.bounded and not bool((i.glasses > 0).any()):
        return
    worn = wide((i.glasses * 100).clamp(max=1))
    for side in (0, 1):
        sign = 2 * side - 1
        frame = rig.place(sign * i.eye_x * 1.04, i.eye_y + 0.02, lift=0.12)
        patch = canvas.patch(frame, i.glasses_size + 0.35, i.glasses_size + 0.08)
        u, v = patch.local(frame)
        radius = i.glasses_size * (1 - 0.6 * i.glasses_square)
        lens = rounded_box(u, v, i.glasses_size, i.glasses_size * (1 - 0.15 * i.glasses_square), radius)
        shine = step(u + 0.8 * v, -0.20, -0.17) * (1 - step(u + 0.8 * v, -0.05, -0.02))
        patch.paint(patch.cover(lens, frame) * (0.08 + 0.14 * shine) * worn, torch.ones_like(i.skin))
        ring = lens.abs() - wide(i.glasses)
        arm = torch.maximum(
            (v + 0.06).abs() - wide(i.glasses * 0.9), (sign * u - wide(i.glasses_size + 0.14)).abs() - 0.13
        )
        nose_bridge = torch.maximum(
            (v + 0.05 + 0.5 * (0.1 - (sign * u + wide(i.eye_x * 1.04)).square())).abs() - wide(i.glasses * 0.9),
            (sign * u + wide((i.glasses_size + i.eye_x * 1.04) / 2)).abs()
            - wide((i.eye_x * 1.04 - i.glasses_size) / 2).clamp(min=0)
            - 0.01,
        )
        alpha = torch.maximum(
            patch.cover(torch.minimum(ring, nose_bridge), frame), patch.cover(arm, frame) * patch.mask
        )
        patch.paint(alpha * worn, i.glasses_color)

"""Who a toon is: some seventy continuous numbers, each drawn on its own from the person's address."""

from dataclasses import dataclass

import torch

from fomm_cli.data.toon.parameters import Parameters, uniform

_NUMBERS = 192  # numbers set aside for a person: new parameters take free ones, so that the others stay as they are


@dataclass(frozen=True)
class Identity(Parameters):
    """Everything about a picture that its motion does not change. Lengths are in half head heights.

    Single numbers are (...), colours (..., 3) in [0, 1]. An accessory that is not worn has size 0, and grows from
    there, so that every parameter may be interpolated.
    """

    size: torch.Tensor  # half the height of the head, in half frame sizes
    width: torch.Tensor  # of the skull
    jaw: torch.Tensor  # width
    chin: torch.Tensor  # how far down the jaw goes
    skin: torch.Tensor
    shadow: torch.Tensor  # colour of the skin in shadow
    blush: torch.Tensor  # strength of the cheeks' colour
    freckles: torch.Tensor  # strength
    ear: torch.Tensor  # size
    earring: torch.Tensor  # size
    eye_x: torch.Tensor  # distance of an eye from the middle
    eye_y: torch.Tensor
    eye_w: torch.Tensor  # half width
    eye_h: torch.Tensor  # half height
    eye_tilt: torch.Tensor  # radians, positive: outer corners up
    iris: torch.Tensor  # radius, as a fraction of eye_h
    iris_color: torch.Tensor
    lash: torch.Tensor  # thickness of the upper lid's line
    lid: torch.Tensor  # strength of the eye shadow
    brow_y: torch.Tensor  # above the eye
    brow_w: torch.Tensor
    brow_t: torch.Tensor  # thickness
    brow_tilt: torch.Tensor
    brow_arch: torch.Tensor
    brow_color: torch.Tensor
    nose_y: torch.Tensor
    nose_w: torch.Tensor
    nose_h: torch.Tensor
    nose_tint: torch.Tensor  # how much redder than the face
    mouth_y: torch.Tensor
    mouth_w: torch.Tensor
    mouth_smile: torch.Tensor  # bend at rest
    lip: torch.Tensor  # thickness
    lip_color: torch.Tensor
    hair: torch.Tensor  # 0 bald, 1 full
    hair_color: torch.Tensor
    hair_volume: torch.Tensor
    hair_curl: torch.Tensor  # depth of the outline's waves
    curl_count: torch.Tensor
    fringe_y: torch.Tensor  # height of the hair line over the forehead
    fringe_part: torch.Tensor  # longitude of the parting, radians
    fringe_sweep: torch.Tensor  # how much the line falls from one side to the other
    fringe_arch: torch.Tensor  # how much it falls away from the parting
    fringe_wave: torch.Tensor  # depth of the locks
    fringe_count: torch.Tensor  # locks a radian
    side: torch.Tensor  # where the hair ends beside the face
    back: torch.Tensor  # where the hair ends behind the neck
    back_width: torch.Tensor
    bun: torch.Tensor  # size
    pigtail: torch.Tensor  # size
    pigtail_y: torch.Tensor
    beard: torch.Tensor  # strength
    moustache: torch.Tensor  # size
    glasses: torch.Tensor  # thickness of the frame
    glasses_size: torch.Tensor
    glasses_square: torch.Tensor  # 0 round, 1 square
    glasses_color: torch.Tensor
    neck: torch.Tensor  # half width
    shoulder: torch.Tensor  # half width
    neckline: torch.Tensor  # depth
    cloth: torch.Tensor
    cloth_second: torch.Tensor
    stripe: torch.Tensor  # strength
    stripe_count: torch.Tensor
    stripe_angle: torch.Tensor
    collar: torch.Tensor  # thickness
    sky: torch.Tensor  # background
    sky_second: torch.Tensor
    sky_angle: torch.Tensor
    pattern: torch.Tensor  # strength
    pattern_count: torch.Tensor
    pattern_angle: torch.Tensor
    pattern_round: torch.Tensor  # 0 stripes, 1 dots


# Colour ramps: points in RGB with everything between them possible.
_SKIN = [(0.99, 0.88, 0.79), (0.97, 0.79, 0.66), (0.89, 0.66, 0.50), (0.74, 0.50, 0.35), (0.55, 0.35, 0.24)]
_SKIN_END = (0.38, 0.24, 0.18)
_HAIR = [(0.10, 0.08, 0.10), (0.24, 0.14, 0.10), (0.42, 0.24, 0.13), (0.66, 0.33, 0.13), (0.88, 0.66, 0.30)]
_HAIR_END = (0.93, 0.88, 0.80)
_IRIS = [(0.25, 0.14, 0.08), (0.47, 0.29, 0.13), (0.36, 0.50, 0.22), (0.18, 0.53, 0.55)]
_IRIS_END = (0.24, 0.44, 0.80)


def _ramp(points: list[tuple[float, float, float]], u: torch.Tensor) -> torch.Tensor:
    colors = torch.tensor(points)
    x = u.clamp(0, 1) * (len(points) - 1)
    low = x.floor().clamp(max=len(points) - 2).long()
    return torch.lerp(colors[low], colors[low + 1], (x - low)[..., None])


def hue(h: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """HSV, each (...) in [0, 1], to RGB (..., 3)."""
    offsets = torch.tensor([5.0, 3.0, 1.0])
    k = (offsets + 6 * h[..., None]) % 6
    return value[..., None] * (1 - saturation[..., None] * torch.minimum(k, 4 - k).clamp(0, 1))


def _worn(u: torch.Tensor, share: float) -> torch.Tensor:
    """0 for those who do not wear it, 0..1 for the `share` of people who do."""
    return ((u - (1 - share)) / share).clamp(min=0)


def sample_identity(seed: int, n: int, start: int = 0, held_out: bool = False) -> Identity:
    """People `start` to `start + n - 1` of a seed; person i is the same however many are drawn.

    held_out  people from the other half of the key space, whom no training can have met

    returns Identity with batch axis (n,), on the CPU
    """
    u = uniform(seed, torch.arange(start, start + n), _NUMBERS, held_out=held_out)
    column = iter(range(_NUMBERS))

    def number(low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return low + (high - low) * u[:, next(column)]

    def around(middle: float, spread: float) -> torch.Tensor:
        """Bell-shaped, never further than `spread` from the middle."""
        return middle + spread * (number() + number() + number() - 1.5) / 1.5

    def color(saturation: tuple[float, float], value: tuple[float, float]) -> torch.Tensor:
        return hue(number(), number(*saturation), number(*value))

    skin = (_ramp([*_SKIN, _SKIN_END], number() ** 1.15) * (1 + 0.05 * around(0, 1)[:, None])).clamp(0, 1)
    shadow = skin * torch.stack([number(0.72, 0.80), number(0.60, 0.68), number(0.60, 0.70)], -1)
    natural = _ramp([*_HAIR, _HAIR_END], number())
    dyed = hue(number(), number(0.45, 0.8), number(0.5, 0.95))
    hair_color = torch.lerp(natural, dyed, (_worn(number(), 0.3) * 3).clamp(max=1)[:, None])
    length = number()  # hair: from cropped to long
    femme = number()  # lashes, lips, beard and pigtails go together more often than not
    size = around(0.57, 0.06)
    width = around(0.84, 0.10)
    eye_w = around(0.215, 0.05)
    full = (_worn(number(), 0.93) * 30).clamp(max=1)
    sky_hue, sky_value = number(), number(0.74, 1.0)
    sky_saturation = number(0.12, 0.50)
    lip_tint = torch.stack([number(0.72, 0.95), number(0.25, 0.42), number(0.30, 0.45)], -1)
    return Identity(
        size=size,
        width=width,
        jaw=width * around(0.80, 0.16),
        chin=around(0.99, 0.09),
        skin=skin,
        shadow=shadow,
        blush=number(0.1, 0.75),
        freckles=_worn(number(), 0.25) * 0.7,
        ear=around(0.21, 0.07),
        earring=_worn(number(), 0.35) * 0.075 * (0.4 + femme),
        eye_x=around(0.35, 0.05),
        eye_y=around(0.03, 0.07),
        eye_w=eye_w,
        eye_h=eye_w * around(1.06, 0.28),
        eye_tilt=around(0.05, 0.2),
        iris=around(0.70, 0.10),
        iris_color=_ramp([*_IRIS, _IRIS_END], number()) * number(0.85, 1.15)[:, None],
        lash=number(0.028, 0.045) + 0.03 * femme,
        lid=number(0, 0.5) * femme,
        brow_y=around(0.37, 0.06),
        brow_w=around(0.21, 0.05),
        brow_t=number(0.025, 0.075) - 0.02 * femme,
        brow_tilt=around(0.0, 0.25),
        brow_arch=around(0.30, 0.25),
        brow_color=hair_color * number(0.45, 0.8)[:, None],
        nose_y=around(0.31, 0.05),
        nose_w=around(0.13, 0.06),
        nose_h=around(0.11, 0.05),
        nose_tint=number(0.0, 0.6),
        mouth_y=around(0.60, 0.04),
        mouth_w=around(0.37, 0.08),
        mouth_smile=around(0.42, 0.28),
        lip=number(0.012, 0.035) + 0.03 * femme,
        lip_color=torch.lerp(skin * torch.tensor([0.85, 0.58, 0.56]), lip_tint, (femme * number(0.3, 1.2))[:, None]),
        hair=full,
        hair_color=hair_color,
        hair_volume=number(0.05, 0.17) + 0.06 * length,
        hair_curl=_worn(number(), 0.7) ** 1.5 * 0.075,
        curl_count=number(7, 22),
        fringe_y=number(-0.72, -0.36),
        fringe_part=around(0.0, 0.8),
        fringe_sweep=around(0.0, 0.22),
        fringe_arch=number(0.0, 0.30),
        fringe_wave=number(0.0, 0.11),
        fringe_count=number(4, 13),
        side=-0.25 + 1.0 * length + number(-0.15, 0.15),
        back=-0.1 + 2.1 * length**1.3,
        back_width=around(0.95, 0.16),
        bun=_worn(number(), 0.2) * 0.42 * femme,
        pigtail=_worn(number(), 0.22) * 0.50 * femme,
        pigtail_y=around(-0.05, 0.4),
        beard=(_worn(number(), 0.45) * 2.5).clamp(max=0.92) * (1 - 1.6 * femme).clamp(min=0),
        moustache=_worn(number(), 0.4) * 0.5 * (1 - 1.6 * femme).clamp(min=0),
        glasses=(_worn(number(), 0.3) * 4).clamp(max=1) * number(0.018, 0.042),
        glasses_size=around(0.315, 0.035),
        glasses_square=number(),
        glasses_color=color((0.2, 0.9), (0.08, 0.7)),
        neck=around(0.36, 0.08) - 0.05 * femme,
        shoulder=around(1.45, 0.22) - 0.15 * femme,
        neckline=number(0.05, 0.55),
        cloth=color((0.25, 0.85), (0.25, 0.92)),
        cloth_second=color((0.05, 0.8), (0.3, 1.0)),
        stripe=(_worn(number(), 0.5) * 3).clamp(max=1),
        stripe_count=number(5, 14),
        stripe_angle=around(0.0, 1.2),
        collar=number(0.0, 0.11),
        sky=hue(sky_hue, sky_saturation, sky_value),
        sky_second=hue(
            (sky_hue + around(0, 0.14)) % 1, sky_saturation * number(0.5, 1.2), sky_value * number(0.72, 1.0)
        ),
        sky_angle=number(0, 2 * torch.pi),
        pattern=number(0.0, 0.16),
        pattern_count=number(4, 14),
        pattern_angle=number(0, torch.pi),
        pattern_round=number(),
    )

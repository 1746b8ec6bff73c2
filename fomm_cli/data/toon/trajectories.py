"""How a toon moves: smooth trajectories with the habits of a talking head, and the arithmetic of transferring them."""

from dataclasses import dataclass

import torch

from fomm_cli.data.toon.parameters import Parameters, normal, uniform

# Streams of the random numbers: identity has 0; each channel of motion has its own.
_POSE, _TURN, _BLINK, _GAZE, _SYLLABLE, _SPEECH, _MOOD = range(1, 8)

SCALE_RANGE = (0.7, 1.4)


@dataclass(frozen=True)
class Motion(Parameters):
    """Everything about a frame that is not who is in it. Neutral: all zeros, scale one.

    shift   (..., 2)  of the head, in half frame sizes, x right, y down
    scale   (...)     of the head, a factor
    roll    (...)     radians, positive turns the top of the head to the right of the picture
    yaw     (...)     radians, positive looks to the right of the picture
    pitch   (...)     radians, positive looks down
    blink   (..., 2)  left and right eye of the picture, 0 open, 1 shut
    gaze    (..., 2)  -1..1, x right, y down
    open    (...)     mouth, 0 shut, 1 wide open
    smile   (...)     -1 sad, 1 happy, added to the identity's own
    pucker  (...)     0..1, the mouth drawn together as in "oo"
    brow    (...)     -1 frowning, 1 raised
    """

    shift: torch.Tensor
    scale: torch.Tensor
    roll: torch.Tensor
    yaw: torch.Tensor
    pitch: torch.Tensor
    blink: torch.Tensor
    gaze: torch.Tensor
    open: torch.Tensor
    smile: torch.Tensor
    pucker: torch.Tensor
    brow: torch.Tensor


def neutral(*batch: int) -> Motion:
    """Looking straight at the camera, mouth shut, eyes open."""
    zero, two = torch.zeros(batch), torch.zeros(*batch, 2)
    return Motion(two, zero + 1, zero, zero, zero, two, two, zero, zero, zero, zero)


def _clamped(m: Motion) -> Motion:
    return Motion(
        shift=m.shift,
        scale=m.scale.clamp(*SCALE_RANGE),
        roll=m.roll,
        yaw=m.yaw.clamp(-0.65, 0.65),
        pitch=m.pitch.clamp(-0.5, 0.5),
        blink=m.blink.clamp(0, 1),
        gaze=m.gaze.clamp(-1, 1),
        open=m.open.clamp(0, 1),
        smile=m.smile.clamp(-1, 1),
        pucker=m.pucker.clamp(0, 1),
        brow=m.brow.clamp(-1, 1),
    )


def relative(start: Motion, driving: Motion, driving_start: Motion | None = None) -> Motion:
    """The motion of A that does what B does: A's start plus B's change since B's start.

    start          (...) A's pose in the source picture
    driving        (frames, ...) B's motion
    driving_start  (...) B's pose that stands for A's start; its first frame if None

    returns        (frames, ...): scale is multiplied, the rest added, then each held within what a face can do
    """
    origin = driving[0] if driving_start is None else driving_start
    change = driving.combine(origin, lambda a, b: a - b)
    moved = change.combine(start, lambda a, b: a + b)
    scale = start.scale * driving.scale / origin.scale
    return _clamped(Motion(**{**vars(moved), "scale": scale}))


def still_head(motion: Motion) -> Motion:
    """The same motion with shift, scale and roll held: what is left is yaw, pitch and the play of the face."""
    zero = torch.zeros_like(motion.roll)
    return Motion(
        **{
            **vars(motion),
            "shift": torch.zeros_like(motion.shift),
            "scale": torch.ones_like(motion.scale),
            "roll": zero,
        }
    )


def still_pose(motion: Motion) -> Motion:
    """The same motion with the head's whole pose held as in the first frame: what is left is the play of the face.

    motion  batch (..., frames)
    """
    held = {
        name: getattr(motion, name)[..., :1, :].expand_as(getattr(motion, name))
        if name == "shift"
        else getattr(motion, name)[..., :1].expand_as(getattr(motion, name))
        for name in ("shift", "scale", "roll", "yaw", "pitch")
    }
    return Motion(**{**vars(motion), **held})


def wander(u: torch.Tensor, times: torch.Tensor, slow: float, fast: float) -> torch.Tensor:
    """A smooth stationary random walk of variance one: a sum of sinusoids of random frequency and phase.

    Amplitudes fall with frequency as in an Ornstein-Uhlenbeck process, but the path has a derivative. Being a function
    of time, the same walk can be sampled at any rate.

    u      (N, 2 * waves) uniform numbers
    times  (T,) seconds
    slow   lowest and `fast` highest frequency in Hz

    returns (N, T)
    """
    waves = u.shape[1] // 2
    rank = (torch.arange(waves) + u[:, :waves]) / waves
    frequency = slow * (fast / slow) ** rank  # (N, waves), one in each log-spaced band
    amplitude = 1 / (1 + (frequency / (2.5 * slow)) ** 2).sqrt()
    amplitude = amplitude / (0.5 * amplitude.square().sum(1, keepdim=True)).sqrt()
    phase = 2 * torch.pi * (u[:, waves:, None] + frequency[..., None] * times)
    return (amplitude[..., None] * phase.sin()).sum(1)


def _smooth(x: torch.Tensor) -> torch.Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _events(u: torch.Tensor, shortest: float, mean: float) -> torch.Tensor:
    """Times (N, count) of events that never come closer than `shortest` seconds and are `mean` apart."""
    gaps = shortest - (mean - shortest) * u.log()
    return gaps.cumsum(1) - mean * 0.7


def _bump(times: torch.Tensor, start: torch.Tensor, rise: float | torch.Tensor, hold: torch.Tensor) -> torch.Tensor:
    """(N, events, T): 0 before `start`, up to 1 within `rise`, there for `hold`, back within 1.4 times `rise`."""
    since = times - start[..., None]
    rise = torch.as_tensor(rise).expand_as(start)[..., None]
    return _smooth(since / rise) * (1 - _smooth((since - rise - hold[..., None]) / (1.4 * rise)))


def sample_motion(
    seed: int,
    frames: int,
    n: int = 1,
    start: int = 0,
    rate: float = 10.0,
    held_out: bool = False,
) -> Motion:
    """The trajectories of clips `start` to `start + n - 1` of a seed.

    rate  frames a second. The trajectory is a function of time: another rate samples the same one.

    returns Motion with batch axes (n, frames), on the CPU
    """
    clips = torch.arange(start, start + n)
    times = torch.arange(frames, dtype=torch.float32) / rate
    slots = int(times[-1].item() / 0.1) + 16  # more than enough events of any kind

    def numbers(stream: int, count: int) -> torch.Tensor:
        return uniform(seed, clips, count, stream, held_out)

    pose = numbers(_POSE, 7 * 16).reshape(n, 7, 16)
    liveliness = 0.75 + 0.6 * numbers(_MOOD, 4)[:, :1]  # some people move more than others

    def walk(channel: int, slow: float, fast: float) -> torch.Tensor:
        return wander(pose[:, channel], times, slow, fast)

    # Now and then the head turns aside, stays a while and comes back.
    turn = numbers(_TURN, 4 * slots).reshape(n, slots, 4).mT
    turning = _bump(times, _events(turn[:, 0], 1.2, 3.2), 0.45, 0.3 + 1.1 * turn[:, 1])
    turn_yaw = (turning * ((turn[:, 2] - 0.5) * 1.3)[..., None]).sum(1)
    turn_pitch = (turning * ((turn[:, 3] - 0.5) * 0.5)[..., None]).sum(1)

    yaw = (0.16 * walk(0, 0.06, 0.5) + turn_yaw) * liveliness
    pitch = (0.11 * walk(1, 0.08, 0.8) + turn_pitch) * liveliness
    roll = (0.11 * walk(2, 0.06, 0.5) + 0.12 * turn_yaw) * liveliness
    # A head that turns also goes where it looks.
    shift_x = (0.085 * walk(3, 0.05, 0.35)) * liveliness + 0.12 * yaw + 0.25 * roll
    shift_y = (0.055 * walk(4, 0.05, 0.5)) * liveliness + 0.10 * pitch
    scale = (0.07 * walk(5, 0.05, 0.3) * liveliness).exp()

    blinks = numbers(_BLINK, 4 * slots).reshape(n, slots, 4).mT
    # Most blinks are quick, some eyes stay shut for a moment, and one in eight is a wink.
    hold = 0.06 + 0.6 * (blinks[:, 1] - 0.75).clamp(min=0) * 4 * blinks[:, 1]
    shut = _bump(times, _events(blinks[:, 0], 0.7, 2.2), 0.11, hold)
    wink = blinks[:, 2]
    left = (shut * (1 - ((wink < 0.0625).float()))[..., None]).amax(1)
    right = (shut * (1 - ((wink > 0.9375).float()))[..., None]).amax(1)
    droop = 0.05 + 0.14 * _smooth(0.5 + 0.4 * walk(6, 0.05, 0.3))
    blink = torch.stack([left, right], -1)
    blink = blink + (1 - blink) * droop[..., None]

    # Eyes rest on one thing, then jump to the next, and half make up for the turning of the head.
    look = numbers(_GAZE, 4 * slots).reshape(n, slots, 4).mT
    jumps = _smooth((times - _events(look[:, 0], 0.35, 1.3)[..., None]) / 0.09)  # (N, slots, T), steps 0 -> 1
    targets = normal(seed, clips, 2 * slots, _GAZE + 16, held_out).reshape(n, slots, 2).mT * 0.42
    steps = torch.diff(targets, dim=2, prepend=torch.zeros(n, 2, 1))
    gaze = torch.einsum("nst,ncs->ntc", jumps, steps) - 0.5 * torch.stack([yaw, pitch], -1)

    # Syllables at about four a second, while speaking; pauses between.
    talk = numbers(_SYLLABLE, 4 * slots).reshape(n, slots, 4).mT
    begin = _events(talk[:, 0], 0.14, 0.25)
    syllables = _bump(times, begin, 0.08, 0.03 + 0.08 * talk[:, 1]) * (0.25 + 0.75 * talk[:, 2])[..., None]
    rounded = (syllables * (talk[:, 3] > 0.6).float()[..., None]).amax(1)
    speech = numbers(_SPEECH, 48)
    speaking = _smooth(0.75 + 0.9 * wander(speech[:, :16], times, 0.12, 0.7))
    mouth = syllables.amax(1) * speaking
    gasp = _smooth(wander(speech[:, 16:32], times, 0.08, 0.5) - 1.1)

    mood = numbers(_MOOD, 52)[:, 4:]
    smile = 0.15 + 0.5 * wander(mood[:, :16], times, 0.06, 0.5)
    brow = 0.45 * wander(mood[:, 16:32], times, 0.1, 0.8) + 0.25 * mouth + 0.6 * gasp
    motion = Motion(
        shift=torch.stack([shift_x, shift_y], -1),
        scale=scale,
        roll=roll,
        yaw=yaw,
        pitch=pitch,
        blink=blink * (1 - 0.8 * gasp[..., None]),
        gaze=gaze,
        open=torch.maximum(mouth, 0.95 * gasp),
        smile=smile,
        pucker=rounded * speaking * 0.8,
        brow=brow,
    )
    return _clamped(motion)

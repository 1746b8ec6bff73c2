"""Motion files: poses and times in one `.safetensors`, with nothing in it that could run.

Tensors: every field of the family's pose under its name, (T, ...) float32; `time` (T,) int64, ticks of
`fomm.time_base`; `audio` (N,) uint8, the bytes of a sound file, where sound was embedded. Metadata is text:

    fomm.format          "1"                       fomm.kind        "motion"
    fomm.version         the fomm that wrote it    fomm.time_base   seconds per tick, "1/12800"
    fomm.rate            frames per second, "25"   fomm.variable_rate, fomm.relative  "0" or "1"
    fomm.motion_model    the family's name         fomm.num_kp      number of points
    fomm.size            "[H, W]"                  fomm.align_corners  "1": -1 and 1 are centres of corner pixels
    fomm.detector        "sha256:..."              fomm.history     a list of commands
    fomm.last            seconds the last frame is shown, if not one step of the rate
    fomm.reach           "[shift, frame]" of the detector's training data, see `Reach`, where it was measured
    fomm.anchor          a row, if one was chosen  fomm.mirror      {"partner": [...], "residual": r}

and whatever else was there, which is kept.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.errors import FommError, counted
from fomm_cli.files import disk
from fomm_cli.media.sequence import parse_rate
from fomm_cli.model.families import family_of
from fomm_cli.model.relative import Reach
from fomm_cli.motion.motion import Motion
from fomm_cli.version import __version__

FORMAT = "1"
SUFFIX = ".safetensors"
HEADER_LIMIT = 1 << 20
LONGEST = 1_000_000
"""Frames of a motion: eleven hours at 25 a second."""

_CLOCK = 1 << 40
_FLICK = 705_600_000
"""Ticks a second of a clock on which every usual rate is exact; for times that share no coarser one."""

_AGAIN = "Extract it again with `fomm motion extract`."


def is_motion(path: Path) -> bool:
    """Whether a driving is a motion file, by its name."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def save(motion: Motion, path: str | Path, force: bool = False) -> Path:
    """Write a motion file, whole or not at all."""
    from safetensors.numpy import save_file

    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise FommError(f"{path.name} is no name for a motion file.", "It ends in .safetensors.")
    tick = _tick([motion.time_base, *motion.times])
    tensors: dict[str, Any] = {"time": np.array([round(time / tick) for time in motion.times], dtype=np.int64)}
    for name, values in zip(motion.poses._fields, motion.poses, strict=True):
        if values is not None:
            tensors[name] = np.ascontiguousarray(values, dtype=np.float32)
    if motion.sound is not None:
        tensors["audio"] = np.frombuffer(motion.sound, dtype=np.uint8)
    with disk.atomic_path(path, force) as temporary:
        save_file(tensors, temporary, metadata=_metadata(motion, tick))
    return path


def _metadata(motion: Motion, tick: Fraction) -> dict[str, str]:
    told = {
        **motion.notes,
        "fomm.format": FORMAT,
        "fomm.kind": "motion",
        "fomm.version": __version__,
        "fomm.time_base": str(tick),
        "fomm.rate": str(motion.rate),
        "fomm.variable_rate": str(int(motion.variable_rate)),
        "fomm.relative": str(int(motion.relative)),
        "fomm.motion_model": motion.family,
        "fomm.num_kp": str(motion.poses[0].shape[1]),
        "fomm.size": json.dumps(list(motion.size)),
        "fomm.align_corners": "1",
        "fomm.detector": motion.detector,
        "fomm.history": json.dumps(list(motion.history), ensure_ascii=False),
    }
    if motion.last is not None:
        told["fomm.last"] = str(motion.last)
    if motion.anchor is not None:
        told["fomm.anchor"] = str(motion.anchor)
    if motion.reach is not None:
        told["fomm.reach"] = json.dumps(motion.reach)
    if motion.partner is not None:
        told["fomm.mirror"] = json.dumps({"partner": list(motion.partner), "residual": round(motion.residual, 6)})
    return told


def load(path: str | Path) -> Motion:
    """The motion in a file.

    Raises FommError for what is none: missing, damaged, of another kind, of shapes, numbers or times that no clip has.
    """
    path = Path(path)
    disk.check_payload(path, "a motion file")
    try:
        tensors, metadata = _open(path)
        return checked(_motion(tensors, metadata))
    except NoMotionError as wrong:
        raise FommError(f"{path} is no motion file: {wrong}.", _AGAIN) from wrong


class NoMotionError(Exception):
    """What is wrong with a file, as the end of a sentence."""


def _open(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        names = file.read(min(length, HEADER_LIMIT))
    if not names.startswith(b"{"):
        raise NoMotionError("it is not in the safetensors format")
    if length > HEADER_LIMIT:
        raise NoMotionError(f"its header claims {length:,} bytes")
    try:
        json.loads(names, object_pairs_hook=_once)
        with safe_open(str(path), framework="np") as opened:
            metadata = dict(opened.metadata() or {})
            if metadata.get("fomm.kind") != "motion":
                raise NoMotionError(
                    "it holds weights" if "fomm.config" in metadata else "it does not say that it is one"
                )
            if metadata.get("fomm.format") != FORMAT:
                raise NoMotionError(
                    f"it is of format {metadata.get('fomm.format', '')[:20]!r}, this fomm reads {FORMAT}"
                )
            return {name: opened.get_tensor(name) for name in opened.keys()}, metadata  # noqa: SIM118  (no mapping)
    except (SafetensorError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise NoMotionError(f"it is damaged ({' '.join(str(error).split())[:120]})") from error
    except OSError as error:
        raise disk.explain_os_error(error, path, "read") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _motion(tensors: dict[str, Any], metadata: dict[str, str]) -> Motion:
    told = dict(metadata)

    def take(key: str, default: str = "") -> str:
        return told.pop(f"fomm.{key}", default)

    for key in ("format", "kind", "version", "num_kp", "align_corners"):
        take(key)
    tick, rate, last = parse_rate(take("time_base")), parse_rate(take("rate")), parse_rate(take("last", "0"))
    if not tick or not rate or rate > 1000 or last is None:
        raise NoMotionError("its rate or its clock is not a number")
    try:
        size = json.loads(take("size", "[0, 0]"))
        mirror = json.loads(take("mirror", "{}"))
        history = json.loads(take("history", "[]"))
        reach = json.loads(take("reach", "null"))
        far = None if reach is None else Reach(*(float(size) for size in reach))
        if far is not None and not all(0 <= size <= 100 for size in far):
            raise ValueError("reach")
        anchor = take("anchor")
        row = int(anchor) if anchor else None
        height, width = (int(side) for side in size)
        partner = tuple(int(k) for k in mirror["partner"]) if mirror else None
        residual = float(mirror.get("residual", 0.0))
        lines = tuple(str(line)[:2000] for line in history)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise NoMotionError("its metadata is damaged") from error
    family = take("motion_model")
    fields = dict(tensors)
    times, sound = fields.pop("time", None), fields.pop("audio", None)
    if times is None or times.dtype != np.int64 or times.ndim != 1 or not 1 <= len(times) <= LONGEST:
        raise NoMotionError(f"it has no times, or more than {LONGEST:,}")
    if (np.diff(times) <= 0).any() or np.abs(times[[0, -1]]).max() * float(tick) > 1e7:
        raise NoMotionError("its times do not increase")
    if sound is not None and (sound.dtype != np.uint8 or sound.ndim != 1):
        raise NoMotionError("its sound is not a row of bytes")
    return Motion(
        poses=poses_of(fields, family, len(times)),
        times=tuple(int(time) * tick for time in times),
        rate=rate,
        size=(height, width),
        family=family,
        detector=take("detector"),
        time_base=tick,
        variable_rate=take("variable_rate") == "1",
        relative=take("relative") == "1",
        anchor=row,
        partner=partner,
        residual=residual,
        history=lines,
        notes=told,
        sound=None if sound is None else sound.tobytes(),
        last=last or None,
        reach=far,
    )


def poses_of(fields: dict[str, Any], family: str, count: int) -> Any:
    """The poses in arrays by name, known to be numbers of `count` frames."""
    pose = family_of(family).Pose
    for name, values in fields.items():
        if name not in pose._fields:
            raise NoMotionError(f"it holds {name[:40]!r}, which is nothing of a pose")
        if values.dtype != np.float32 or values.ndim < 2 or len(values) != count or values[0].size > 100_000:
            raise NoMotionError(f"its {name} is {values.dtype} {list(values.shape)} for {counted(count, 'frame')}")
        if not np.isfinite(values).all():
            raise NoMotionError(f"its {name} has numbers that are not finite")
    if "value" not in fields or fields["value"].ndim != 3 or fields["value"].shape[2] not in (2, 3):
        raise NoMotionError("it has no points")
    return pose(*(fields.get(name) for name in pose._fields))


def checked(motion: Motion) -> Motion:
    """The motion, whose parts go together."""
    points = motion.poses[0].shape[1]
    if motion.anchor is not None and not 0 <= motion.anchor < len(motion):
        raise NoMotionError(f"its anchor is frame {motion.anchor} of {len(motion)}")
    if motion.partner is not None and sorted(motion.partner) != list(range(points)):
        raise NoMotionError("its mirror does not pair the points")
    try:
        with contextlib.suppress(FommError):  # a family without a relative space
            motion[:1].space().channels(motion.at(0))
    except (ValueError, IndexError) as error:
        raise NoMotionError("the shapes of its poses do not go together") from error
    return motion


def _tick(times: Iterable[Fraction]) -> Fraction:
    """Seconds per tick of a clock on which all of these are whole; a fine one where there is none that is coarse."""
    common = 1
    for time in set(times):
        common = math.lcm(common, time.denominator)
        if common > _CLOCK:
            return Fraction(1, _FLICK)
    return Fraction(1, common)

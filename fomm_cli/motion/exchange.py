"""The numbers of a motion for other programs, and back: .npz, .csv, .json."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.media.sequence import parse_rate
from fomm_cli.motion.file import LONGEST, NoMotionError, checked, poses_of
from fomm_cli.motion.motion import Motion


def export(motion: Motion, path: str | Path, force: bool = False) -> Path:
    """The same numbers for other programs, by the suffix: .npz (as the file's tensors), .csv, .json."""
    path = Path(path)
    fields = {
        name: values for name, values in zip(motion.poses._fields, motion.poses, strict=True) if values is not None
    }
    told = {
        "rate": str(motion.rate),
        "size": list(motion.size),
        "motion_model": motion.family,
        "detector": motion.detector,
        "relative": motion.relative,
    }
    with disk.atomic_path(path, force) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, seconds=motion.seconds, about=np.array(json.dumps(told)), **fields)
        elif path.suffix == ".json":
            rows = {name: values.tolist() for name, values in fields.items()}
            temporary.write_text(json.dumps({**told, "seconds": motion.seconds.tolist(), **rows}), encoding="utf-8")
        elif path.suffix == ".csv":
            columns = {name: values.reshape(len(motion), -1) for name, values in fields.items()}
            head = ["seconds", *(f"{name}_{n}" for name, rows in columns.items() for n in range(rows.shape[1]))]
            table = np.concatenate([motion.seconds[:, None], *columns.values()], axis=1)
            lines = [",".join(head), *(",".join(f"{value:.9g}" for value in row) for row in table)]
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            raise FommError(f"{path.name} has no suffix of an export.", "Use .npz, .csv or .json.")
    return path


def read_npz(path: str | Path) -> Motion:
    """The motion in an .npz as `export` writes it: fields of a pose by name, and perhaps `seconds` and `about`."""
    path = Path(path)
    disk.check_payload(path, "an .npz")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        told = json.loads(str(arrays.pop("about", "{}")))
        rate = parse_rate(str(told.get("rate", "25")))
        seconds = arrays.pop("seconds", None)
        count = len(arrays["value"])
        if not rate or rate > 1000 or not 1 <= count <= LONGEST:
            raise NoMotionError("it has no sensible rate or length")
        times = [n / rate for n in range(count)]
        if seconds is not None and np.abs(np.asarray(seconds) - [float(time) for time in times]).max() > 1e-6:
            times = [Fraction(round(float(at) * 1_000_000), 1_000_000) for at in seconds]
        family = str(told.get("motion_model", "first_order"))
        poses = poses_of({name: np.asarray(a, dtype=np.float32) for name, a in arrays.items()}, family, count)
        size = tuple(int(side) for side in told.get("size", (256, 256)))
        if any(after <= before for before, after in pairwise(times)) or len(size) != 2:
            raise NoMotionError("its times do not increase")
        motion = Motion(poses, tuple(times), rate, (size[0], size[1]), family, str(told.get("detector", "")))
        variable = len({after - before for before, after in pairwise(times)}) > 1
        return checked(replace(motion, variable_rate=variable, relative=bool(told.get("relative"))))
    except NoMotionError as wrong:
        raise FommError(f"{path} holds no motion: {wrong}.", "See docs/motion.md for its arrays.") from wrong
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise FommError(f"{path} is no .npz with poses in it.", "It needs an array `value` (T, K, 2).") from error

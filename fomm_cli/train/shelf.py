"""The checkpoints of a run: the last one, those before it, and milestones that stay."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from fomm_cli.errors import FommError
from fomm_cli.files.disk import atomic_path, sibling
from fomm_cli.train import checkpoint
from fomm_cli.train.run import Run
from fomm_cli.train.state import State

_NAME = re.compile(r"step-(\d{8,})(-epoch-\d{4,})?\.pt")


class Found(NamedTuple):
    """A checkpoint's content and where it was; `note` tells of newer ones that are damaged."""

    path: Path
    content: dict[str, Any]
    note: str = ""


def put(state: State, run: Run, keep: int, before: int) -> None:
    """Write `last.pt`. The one that was last stays under the number of its step, `before`; of such the newest remain.

    keep  checkpoints in all, `last.pt` among them; milestones are not counted
    """
    if keep > 1 and before and run.last.is_file():
        _name(run.last, run.checkpoints / f"step-{before:08d}.pt")
    checkpoint.save(state, run.last)
    earlier = [path for path, milestone in _numbered(run).items() if not milestone]
    for path in earlier[max(0, keep - 1) :]:
        path.unlink(missing_ok=True)


def milestone(state: State, run: Run) -> None:
    """Write a checkpoint that stays."""
    checkpoint.save(state, run.checkpoints / f"step-{state.step:08d}-epoch-{state.epoch:04d}.pt")


def newest(run: Run) -> Found:
    """The last checkpoint that can be read. Raises FommError where there is none, with the reason of the last one."""
    failure: FommError | None = None
    for path in [run.last, *_numbered(run)]:
        try:
            found = checkpoint.read(path)
        except FommError as error:
            failure = failure or error
            continue
        if failure is None:
            return Found(path, found)
        return Found(path, found, f"{failure.what} Taking the one before: {path.name}.")
    assert failure is not None
    raise failure


def at(run: Run, step: int) -> Path:
    """The checkpoint that was kept of a step."""
    there = {int(_NAME.fullmatch(path.name)[1]): path for path in _numbered(run)}  # type: ignore[index]
    if step not in there:
        known = ", ".join(map(str, sorted(there))) or "none"
        raise FommError(f"{run.folder.name} keeps no checkpoint of step {step}.", f"Kept beside the last: {known}.")
    return there[step]


def go_on(run: Run, found: Found, step: int) -> None:
    """Make what was found the last one; numbered ones of later steps, which will be made again, go."""
    if found.path != run.last:
        _name(found.path, run.last)
    for path, stays in _numbered(run).items():
        if not stays and int(_NAME.fullmatch(path.name)[1]) > step:  # type: ignore[index]
            path.unlink(missing_ok=True)


def any_there(run: Run) -> bool:
    return run.last.is_file() or bool(_numbered(run))


def _numbered(run: Run) -> dict[Path, bool]:
    """Numbered checkpoints, the newest first, and whether each is a milestone."""
    found = {path: match for path in run.checkpoints.glob("step-*.pt") if (match := _NAME.fullmatch(path.name))}
    return {path: bool(match[2]) for path, match in sorted(found.items(), key=lambda one: -int(one[1][1]))}


def _name(path: Path, other: Path) -> None:
    """Give a file a second name, in place of what has it now; by a copy where a file system has no links."""
    temporary = sibling(other)
    try:
        os.link(path, temporary)
    except OSError:
        with atomic_path(other, force=True) as whole:
            shutil.copyfile(path, whole)
        return
    try:
        temporary.replace(other)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

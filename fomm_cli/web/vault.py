"""The work folder: what visitors brought and what was made for them, under names of our own, gone whatever happens."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Container
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.motion import file as motion_file
from fomm_cli.web.rules import RefusedError, Rules
from fomm_cli.weights.catalogue import MOTIONS, SAMPLES, sample_of

PREFIX = "fomm-web-"

_NEW = "fomm-new-"
"""What a folder is called until it is held; nobody sweeps those."""

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".jxl", ".gif", ".apng"),
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv", ".safetensors"),
}
"""What a file of ours may end in; of a visitor's name nothing else reaches the disk."""


@dataclass
class Stored:
    """One file.

    id     128 random bits, what a visitor knows it by
    owner  the visitor; "" = everybody (the bundled examples)
    name   what the visitor calls it: shown, never opened
    path   where it is, under a name made here
    told   kind, width, height, frames, rate, duration: what was found in it
    """

    id: str
    owner: str
    name: str
    path: Path
    told: dict[str, Any] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0


class Vault:
    """A folder of mode 0700, held by a lock for as long as its server lives; what others have left is swept away."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        parent = rules.work or Path(tempfile.gettempdir())
        try:
            parent.mkdir(parents=True, exist_ok=True)
            sweep(parent)
            fresh = Path(tempfile.mkdtemp(prefix=_NEW, dir=parent))
            self._held = _lock(fresh)
            self.folder = fresh.rename(parent / fresh.name.replace(_NEW, PREFIX, 1))
        except OSError as error:
            raise disk.explain_os_error(error, parent) from error
        self._files: dict[str, Stored] = {}
        self._guard = threading.Lock()
        for sample in SAMPLES.values():
            for file in sample:
                id = _example(file)
                self._files[id] = Stored(id, "", file.name, file)
        for file, name in MOTIONS.items():
            self._files[file.stem] = Stored(file.stem, "", name, file)

    def new(self, owner: str, name: str) -> Stored:
        """A place for a file, not yet to be found; `keep` makes it so."""
        suffix = Path(name[-100:]).suffix.lower()
        told = "".join(c for c in name if c.isprintable() and c not in '/\\"').strip()[-80:] or "file"
        id = secrets.token_hex(16)
        return Stored(id, owner, told, self.folder / f"{id}{suffix if suffix in SUFFIXES else ''}")

    def keep(self, file: Stored) -> Stored:
        """From now on its owner finds it."""
        with self._guard:
            self._files[file.id] = file
        return file

    def room(self, owner: str, size: int = 0) -> None:
        """Refuse `size` more bytes where a visitor, or all of them together, have too much here."""
        with self._guard:
            files = [(file.owner, file.size) for file in self._files.values() if file.owner]
        own, everyone = sum(n for who, n in files if who == owner), sum(n for _, n in files)
        if own + size > self.rules.quota or everyone + size > 5 * self.rules.quota:
            raise RefusedError(507, "There is no room for more files.", "Delete some; unused ones go by themselves.")

    def find(self, owner: str, id: Any) -> Stored:
        """A visitor's file, or an example. One of somebody else does not exist."""
        with self._guard:
            file = self._files.get(id) if isinstance(id, str) else None
            if file is None or file.owner not in ("", owner):
                raise RefusedError(404, "There is no such file.", "It may have been removed: upload it again.")
            file.used = time.monotonic()
            return file

    def examples(self, weights: str | None, detector: str) -> list[Stored]:
        """Portrait and clip, again and again, first those that show best what these weights know; then motions seen by
        their detector."""
        best = sample_of(weights)
        samples = [best, *(sample for sample in SAMPLES.values() if sample != best)]
        ids = [_example(file) for sample in samples for file in sample]
        return [self.find("", id) for id in [*ids, *(file.stem for file in MOTIONS if _seen_by(file) == detector)]]

    def holds(self, id: str | None) -> bool:
        """Whether a file is still here."""
        with self._guard:
            return id in self._files

    def remove(self, owner: str, id: str) -> None:
        """Delete a visitor's file; examples stay."""
        file = self.find(owner, id)
        if not file.owner:
            raise RefusedError(403, "Examples are not deleted.")
        with self._guard:
            self._files.pop(id, None)
        discard(file)

    def expire(self, busy: Container[str] = ()) -> None:
        """Delete what nobody used for long, but for what is being worked on."""
        limit = time.monotonic() - self.rules.keep
        with self._guard:
            old = [f for f in self._files.values() if f.owner and f.used < limit and f.id not in busy]
            for file in old:
                del self._files[file.id]
        for file in old:
            discard(file)

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _example(file: Path) -> str:
    """The id of a bundled file: those that show the default weights are called by what they are."""
    usual = sample_of(None)
    return ("portrait", "clip")[usual.index(file)] if file in usual else file.name


@cache
def _seen_by(file: Path) -> str:
    return motion_file.load(file).detector


def discard(file: Stored) -> None:
    """Delete the file itself; whoever has it open reads on."""
    with contextlib.suppress(OSError):
        file.path.unlink(missing_ok=True)


def hidden(error: FommError, *files: Stored | None) -> FommError:
    """The same error in words that name files as their visitor does, and no folder of this machine."""
    what, hint = error.what, error.hint
    for file in files:
        if file is not None:
            for ours in (str(file.path), file.path.name):
                what, hint = what.replace(ours, file.name), hint.replace(ours, file.name)
    return FommError(what, hint)


def sweep(parent: Path) -> None:
    """Remove the work folders of servers that were killed: ours by name, owner and mode, and locked by nobody."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and found.st_mode & 0o77 == 0)
            if folder.is_symlink() or not folder.is_dir() or not own:
                continue
            if (held := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _lock(folder: Path) -> int | None:
    """A lock that falls with the process; None where another holds it, or the system has none."""
    try:
        import fcntl
    except ImportError:  # Windows: orphans stay until the system clears its temporary files
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor

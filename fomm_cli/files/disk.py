"""Files that appear whole or not at all: atomic outputs, claims, hashes, and errors of the disk in words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fomm_cli.errors import FommError

CHUNK = 1 << 20

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

ASSETS = Path(__file__).resolve().parents[1] / "assets"
"""What comes with the package: the bundled weights, the demo's portrait and clip."""

_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml")

_LFS = b"version https://git-lfs.github.com/spec/"


def explain_os_error(error: OSError, path: str | Path, doing: str = "written") -> FommError:
    """What the operating system refused, in one sentence; `doing` completes "PATH could not be ..."."""
    if error.errno in _FULL:
        return FommError(f"{path} could not be {doing}: no space is left there.", "Free some space or write elsewhere.")
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()
    return FommError(f"{path} could not be {doing}: {reason}.", "Check the path and its permissions.")


def _sibling(final: Path) -> Path:
    """A fresh hidden name beside `final` with its suffix, so that the last step is a rename on one file system."""
    return final.with_name(f".{final.stem[:100]}.{secrets.token_hex(4)}.part{final.suffix}")


def prepared(final: str | Path) -> Path:
    """`final` as a path whose folder exists."""
    target = Path(final)
    if not target.name:
        raise FommError(f"{final!s} is no name for an output.", "Name a file, such as result.mp4.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, target) from error
    return target


@contextlib.contextmanager
def atomic_path(final: str | Path, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `final`; it takes the final name on success and is deleted on any error.

    An existing `final` is refused without `force`, before any work is done.
    """
    target = check_free(final, force)
    temporary = _sibling(target)
    try:
        try:
            with temporary.open("xb"):
                pass  # an unwritable folder is reported before minutes of work, not after
        except OSError as error:
            raise explain_os_error(error, target) from error
        try:
            yield temporary
            temporary.replace(target)
        except OSError as error:
            if _names(error, temporary) or error.errno in _FULL:
                raise explain_os_error(error, target) from error
            raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _names(error: OSError, path: Path) -> bool:
    return str(path) in {str(error.filename), str(error.filename2)}


def check_free(final: str | Path, force: bool = False) -> Path:
    """`final` as a path whose folder exists and which may be written: not there yet, or a file and `force`."""
    target = prepared(final)
    if target.is_dir():
        raise FommError(f"{target} is a folder, not a file.", "Name a file inside it.")
    if target.exists() and not force:
        raise FommError(f"{target} exists already.", "Choose another name, or overwrite it with --force.")
    return target


@contextlib.contextmanager
def atomic_folder(final: str | Path, force: bool = False, pattern: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `final`; it takes the final name on success and is deleted on any error.

    An empty `final` counts as absent. With `force` an existing folder is replaced as a whole; `pattern` (a glob such
    as "*.png") protects what is not ours: the folder is refused if anything else lies in it.
    """
    target = prepared(final)
    if target.exists() and not target.is_dir():
        raise FommError(f"{target} is a file, not a folder.", "Choose another name for the folder.")
    inside = list(target.iterdir()) if target.exists() else []
    if inside and not force:
        raise FommError(f"{target} exists already.", "Choose another name, or overwrite it with --force.")
    strangers = [entry for entry in inside if pattern is not None and not entry.match(pattern)]
    if strangers:
        raise FommError(
            f"{target} holds other things than {pattern}, such as {strangers[0].name}: it is not overwritten.",
            "Name a new folder.",
        )
    temporary = _sibling(target)
    try:
        try:
            temporary.mkdir()
        except OSError as error:
            raise explain_os_error(error, target) from error
        try:
            yield temporary
            _swap(temporary, target)
        except OSError as error:
            if error.errno in _FULL or (error.filename and str(temporary) in str(error.filename)):
                raise explain_os_error(error, target) from error
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of `target`; the old folder disappears only once the new one stands."""
    if not target.exists():
        fresh.rename(target)
        return
    old = _sibling(target)
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | Path, text: str, force: bool = False) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path, force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def cache_dir() -> Path:
    """Where downloads are kept: $FOMM_CACHE, else ~/.cache/fomm. Not created here."""
    named = os.environ.get("FOMM_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "fomm"


def check_payload(path: str | Path, what: str) -> None:
    """Refuse what so often lies where a file should be: nothing, a Git-LFS pointer, an HTML page.

    what   names the thing in the message, such as "the weights file"
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise FommError(f"{path} does not exist.", f"Check the path of {what}.") from error
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    if not head:
        raise FommError(f"{path} is empty: it is not {what}.", "Fetch it again; the download did not finish.")
    if head.startswith(_LFS):
        raise FommError(
            f"{path} is a Git-LFS pointer, not {what}: a note of three lines that stands for the real file.",
            "Run `git lfs pull` in its repository, or download the file from its page.",
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        raise FommError(
            f"{path} is a web page, not {what}: the download was answered by a page, such as a quota or login notice.",
            "Open the address in a browser and save the file itself.",
        )


def claim(file: IO[Any], inherited: bool = True, shared: bool = False) -> bool:
    """Lock an open file against other processes, without waiting; False where another has it.

    The claim falls with the process, however that ends. A system or a file system without locks grants every claim.

    inherited  True: processes forked from here hold the claim too, until all have closed the file. False: this process
               alone does, and loses it as soon as it closes any handle of the file
    shared     claims that are shared exclude only those that are not

    Not filelock, which downloads use: its locks are all inherited, and asking whether one is held takes it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return True
    lock = fcntl.flock if inherited else fcntl.lockf
    try:
        lock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:  # any other: a file system without locks
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True

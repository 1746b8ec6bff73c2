"""Files that appear whole or not at all: atomic outputs, claims, hashes, and errors of the disk in words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fomm_cli.errors import FommError

CHUNK = 1 << 20

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

ASSETS = Path(__file__).resolve().parents[1] / "assets"
"""What comes with the package: the bundled weights, the demo's portrait and clip."""

_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml")

_LFS = b"version https://git-lfs.github.com/spec/"


def explain_os_error(error: OSError, path: str | Path, doing: str = "written") -> FommError:
    """What the operating system refused, in one sentence; `doing` completes "PATH could not be ..."."""
    if error.errno in FULL:
        return FommError(f"{path} could not be {doing}: no space is left there.", "Free some space or write elsewhere.")
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()
    return FommError(f"{path} could not be {doing}: {reason}.", "Check the path and its permissions.")


def sibling(final: Path, mark: str = "") -> Path:
    """A hidden name beside `final` with its suffix, so that the last step is a rename on one file system.

    mark   what makes the name: "" = eight hexadecimal digits drawn by chance
    Names are counted in bytes: a file system takes 255 of them.
    """
    stem = final.stem.encode()[:100].decode(errors="ignore")
    if mark and stem != final.stem:
        mark = f"{hashlib.sha256(final.name.encode()).hexdigest()[:8]}.{mark}"
    return final.with_name(f".{stem}.{mark or secrets.token_hex(4)}.part{final.suffix[:40]}")


def prepared(final: str | Path) -> Path:
    """An output's path, through a link that stands there, in a folder that exists."""
    target = Path(final)
    if not target.name:
        raise FommError(f"{final!s} is no name for an output.", "Name a file, such as result.mp4.")
    try:
        if target.is_symlink():  # what it points to is written, and the link stays
            target = Path(os.path.realpath(target))
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, target) from error
    return target


@contextlib.contextmanager
def atomic_path(final: str | Path, force: bool = False, claimed: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `final`; it takes the final name on success and is deleted on any error.

    An existing `final` is refused without `force`, before any work is done, and also if it appears meanwhile.

    claimed   another process that writes the same output, claimed too, is refused at once; what one that was killed has
              left is taken over. For outputs that take long; without it a forced writer who comes last has his way
    """
    target = check_free(final, force)
    with contextlib.ExitStack() as stack:
        if claimed:
            temporary = stack.enter_context(claimed_name(target, folder=False))
            check_free(target, force)  # another may have finished in between
        else:
            temporary = sibling(target)
        try:
            try:
                with temporary.open("wb" if claimed else "xb"):
                    pass  # an unwritable folder is reported before minutes of work, not after
                mode = temporary.stat().st_mode & 0o777
            except OSError as error:
                raise explain_os_error(error, target) from error
            try:
                yield temporary
                if os.name == "posix":  # some libraries put a file of their own there, closed to everybody else
                    temporary.chmod(mode)
                _place(temporary, target, force)
            except OSError as error:
                if _names(error, temporary) or error.errno in FULL:
                    raise explain_os_error(error, target) from error
                raise
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _place(temporary: Path, target: Path, force: bool) -> None:
    """Give a file its name; without `force` only one that nobody else has taken meanwhile."""
    if not force:
        try:
            os.link(temporary, target)  # unlike a rename, it never replaces
            return
        except FileExistsError as error:
            raise FommError(f"{target} appeared while it was made.", "Choose another name, or use --force.") from error
        except OSError:  # a file system without links
            pass
    temporary.replace(target)


@contextlib.contextmanager
def claimed_name(target: Path, folder: bool) -> Iterator[Path]:
    """The one temporary of an output, held against other processes for as long as this lasts.

    The name tells that it is ours, the lock whether its owner lives: it falls with the process, however that ends. So
    what lies there unlocked was left by one that was killed, and is begun anew. Where a file system has no locks the
    temporary gets a name by chance, and nothing is known of others.
    """
    temporary = sibling(target, "fomm")
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield sibling(target)
        return
    while True:
        try:
            if folder:
                temporary.mkdir(exist_ok=True)
            descriptor = os.open(temporary, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise explain_os_error(error, target) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise FommError(
                        f"{target} is being written by another process.", "Wait for it, or choose another name."
                    ) from error
                yield sibling(target)
                return
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), temporary.stat()):
                    yield temporary
                    return
            # else it took its final name, or was given up, between opening and locking
        finally:
            os.close(descriptor)


def _names(error: OSError, path: Path) -> bool:
    return str(path) in {str(error.filename), str(error.filename2)}


def check_free(final: str | Path, force: bool = False) -> Path:
    """`final` as a path whose folder exists and which may be written: not there yet, or a file and `force`."""
    target = prepared(final)
    try:
        folder, there = target.is_dir(), target.exists()
    except OSError as error:
        raise explain_os_error(error, target) from error
    if folder:
        raise FommError(f"{target} is a folder, not a file.", "Name a file inside it.")
    if there and not target.is_file():
        raise FommError(f"{target} is not a regular file.", "Name a file, such as result.mp4.")
    if there and not force:
        raise FommError(f"{target} exists already.", "Choose another name, or overwrite it with --force.")
    return target


def check_distinct(output: Path, *inputs: Path) -> None:
    """An output is never an input, by whatever name or link, nor a folder with one in it; `force` changes nothing."""
    written = Path(os.path.realpath(output))
    for read in inputs:
        given = Path(os.path.realpath(read))
        if written == given or (output.exists() and read.exists() and output.samefile(read)):
            raise FommError(f"{output} is an input: it is not overwritten.", "Name another output with -o.")
        if output.is_dir() and written in given.parents:
            raise FommError(
                f"{read}, an input, lies in {output}: it is not overwritten.", "Name another output with -o."
            )


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


def check_endless(path: str | Path) -> None:
    """Refuse pipes, sockets and devices: to read one may take for ever. What is not there is left to who opens it."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FommError(f"{path} is a pipe or a device.", "Save it to a file first.")


def check_payload(path: str | Path, what: str) -> None:
    """Refuse what so often lies where a file should be: nothing, a Git-LFS pointer, an HTML page.

    what   names the thing in the message, such as "the weights file"
    """
    path = Path(path)
    check_endless(path)
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

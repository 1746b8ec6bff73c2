"""Files that appear whole or not at all: atomic outputs, verified and resumable downloads."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import secrets
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from fomm_cli.errors import FommError
from fomm_cli.version import __version__

CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_LFS = b"version https://git-lfs.github.com/spec/"

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are so far and the total, None where the server did not say."""


def explain_os_error(error: OSError, path: str | Path, doing: str = "written") -> FommError:
    """What the operating system refused, in one sentence; `doing` completes "PATH could not be ..."."""
    if error.errno in _FULL:
        return FommError(f"{path} could not be {doing}: no space is left there.", "Free some space or write elsewhere.")
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()
    return FommError(f"{path} could not be {doing}: {reason}.", "Check the path and its permissions.")


def _sibling(final: Path) -> Path:
    """A fresh hidden name beside `final` with its suffix, so that the last step is a rename on one file system."""
    return final.with_name(f".{final.stem[:100]}.{secrets.token_hex(4)}.part{final.suffix}")


def _prepare(final: str | Path) -> Path:
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
    target = _prepare(final)
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
    target = _prepare(final)
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


def fetch(
    url: str,
    dest: str | Path,
    sha256: str | None = None,  # the parameter shadows the function above: _digest below
    progress: Progress | None = None,
    attempts: int = 4,
) -> Path:
    """Download `url` (http or https) to `dest`: resumed where it stopped, checked, and only then given its name.

    sha256   the expected digest, None = only the length is checked
    A file already at `dest` is kept if it has the digest (or none is asked for). The unfinished part stays beside it as
    `.NAME.download` for the next call.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise FommError(f"{url} is not an http or https address.", "Download the file yourself and pass its path.")
    target = _prepare(dest)
    if _is_there(target, sha256):
        return target
    part = target.with_name(f".{target.name}.download")
    try:
        with _alone(part):
            if not _is_there(target, sha256):  # another process may have done it meanwhile
                _complete(url, part, sha256, progress, attempts, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    return target


def _is_there(target: Path, sha256: str | None) -> bool:
    return target.is_file() and (sha256 is None or _digest(target) == sha256.lower())


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Wait until nobody else downloads to `part`: the processes of one training all want the same file at once.

    The lock is on the part itself, so that no other file is left behind; it falls with its process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    while True:
        with part.open("ab") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_open(part, file.fileno()):
                continue  # it has taken its final name, or was given up
            try:
                yield
            finally:
                if _is_open(part, file.fileno()) and part.stat().st_size == 0:
                    _forget(part)
            return


def claim(file: IO[Any], inherited: bool = True, shared: bool = False) -> bool:
    """Lock an open file against other processes, without waiting; False where another has it.

    The claim falls with the process, however that ends. A system or a file system without locks grants every claim.

    inherited  True: processes forked from here hold the claim too, until all have closed the file. False: this process
               alone does, and loses it as soon as it closes any handle of the file
    shared     claims that are shared exclude only those that are not
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


def _is_open(path: Path, descriptor: int) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _complete(url: str, part: Path, sha256: str | None, progress: Progress | None, attempts: int, target: Path) -> None:
    """Download what `part` lacks, check it, and give it its name."""
    for attempt in range(1, attempts + 1):
        try:
            _download(url, part, progress)
            break
        except urllib.error.HTTPError as error:
            if error.code not in {408, 429, 500, 502, 503, 504} or attempt == attempts:
                raise FommError(
                    f"{url} answered {error.code} {error.reason}.", "Check the address, or try again later."
                ) from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == attempts:
                reason = getattr(error, "reason", None) or error
                raise FommError(
                    f"{url} could not be downloaded: {reason}.",
                    "Check the network and run the command again: it goes on where it stopped.",
                ) from error
        except OSError as error:
            raise explain_os_error(error, target) from error
        time.sleep(min(2.0 ** (attempt - 1), 8.0) * 0.25)
    if sha256 is not None and (found := _digest(part)) != sha256.lower():
        _forget(part)
        raise FommError(
            f"{url} is not the expected file: its sha256 is {found}, not {sha256.lower()}.",
            "The file was changed or damaged on its way; do not use it. Run the command again or report it.",
        )
    part.replace(target)
    _forget(part)


_digest = sha256


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _note(part: Path) -> Path:
    """Beside an unfinished download: which address and which version of the file it is the beginning of."""
    return part.with_name(part.name + ".json")


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """One request that appends to `part` whatever is missing; raises ConnectionError when the answer ends early."""
    headers = {"User-Agent": f"fomm/{__version__}", "Accept-Encoding": "identity"}
    start, version = 0, ""
    with contextlib.suppress(OSError, ValueError):
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        if note["url"] == url and note["version"]:
            start, version = part.stat().st_size, note["version"]
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send: the part is whole, or not what it was
            whole = error.headers.get("Content-Range", "").rpartition("/")[2]
            error.close()
            if whole.isdigit() and int(whole) == start:
                return
            _forget(part)
            raise ConnectionError("the unfinished download no longer fits") from error
        raise
    with answer:
        resumed = answer.status == 206
        if not resumed:
            start = 0
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        _note(part).write_text(json.dumps({"url": url, "version": version.removeprefix("W/")}), encoding="utf-8")
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length is not None and length.isdigit() else None
        done = start
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(CHUNK):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection closed after {done} of {total} bytes")

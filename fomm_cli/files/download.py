"""Downloads: resumed where they stopped, verified, and only then given their name."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.files.disk import CHUNK, explain_os_error
from fomm_cli.files.listener import listener, offline
from fomm_cli.version import __version__

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are so far and the total, None where the server did not say."""


def fetch(
    url: str,
    dest: str | Path,
    sha256: str | None = None,
    progress: Progress | None = None,
    attempts: int = 4,
) -> Path:
    """Download `url` (http or https) to `dest`: resumed where it stopped, checked, and only then given its name.

    sha256     the expected digest or its first digits, None = only the length is checked
    progress   called as it grows, None = what `listener` says
    A file already at `dest` is kept if it has the digest (or none is asked for). The unfinished part stays beside it as
    `.NAME.download` for the next call.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise FommError(f"{url} is not an http or https address.", "Download the file yourself and pass its path.")
    target = disk.prepared(dest)
    if _is_there(target, sha256):
        return target
    if offline():
        raise FommError(
            f"{url} was not fetched before, and HF_HUB_OFFLINE (or --offline) forbids the network.",
            "Unset it for one run, or fetch the file elsewhere.",
        )
    part = target.with_name(f".{target.name}.download")
    try:
        with _alone(part):
            if not _is_there(target, sha256):  # another process may have done it meanwhile
                _complete(url, part, sha256, progress or _heard(), attempts, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    return target


def _heard() -> Progress | None:
    heard = listener.get()
    return None if heard is None else heard.progress


def _is_there(target: Path, sha256: str | None) -> bool:
    return target.is_file() and (sha256 is None or disk.sha256(target).startswith(sha256.lower()))


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Wait until nobody else downloads to `part`: the processes of one training all want the same file at once."""
    lock = part.with_name(part.name + ".lock")
    with FileLock(lock):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # one that waits notices that its file is gone, and makes another
                lock.unlink()


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
    if sha256 is not None and not (found := disk.sha256(part)).startswith(sha256.lower()):
        _forget(part)
        raise FommError(
            f"{url} is not the expected file: its sha256 is {found}, not {sha256.lower()}.",
            "The file was changed or damaged on its way; do not use it. Run the command again or report it.",
        )
    part.replace(target)
    _forget(part)


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

"""Folders that are written as a whole, and the manifest that tells what in them is ours."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from fomm_cli.errors import FommError
from fomm_cli.files.disk import FULL, claimed_name, explain_os_error, prepared, sha256, sibling

MANIFEST = ".fomm.json"
"""In every such folder: the names and sizes of what we put there, so that --force never removes anything else."""


@contextlib.contextmanager
def atomic_folder(final: str | Path, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `final`; it takes the final name on success and is deleted on any error.

    An empty `final` counts as absent. With `force` an existing folder is replaced as a whole, but only one whose
    manifest proves that we wrote all that is in it. Another process that writes the same folder is refused, and what
    one that was killed has left is begun anew.
    """
    target = check_free_folder(final, force)
    with claimed_name(target, folder=True) as temporary:
        check_free_folder(target, force)  # another may have finished in between
        fresh = temporary / "made"
        try:
            try:
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir(parents=True)
            except OSError as error:
                raise explain_os_error(error, target) from error
            try:
                yield fresh
                _describe(fresh)
                _swap(fresh, target)
            except OSError as error:
                if error.errno in FULL or (error.filename and str(temporary) in str(error.filename)):
                    raise explain_os_error(error, target) from error
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            with contextlib.suppress(OSError):
                temporary.rmdir()


def check_free_folder(final: str | Path, force: bool = False) -> Path:
    """`final` as a path where a folder may be written: not there yet, empty, or all our own and `force`."""
    target = prepared(final)
    try:
        if target.exists() and not target.is_dir():
            raise FommError(f"{target} is a file, not a folder.", "Choose another name for the folder.")
        if target.exists() and any(target.iterdir()) and not force:
            raise FommError(f"{target} exists already.", "Choose another name, or overwrite it with --force.")
        check_ours(target, target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    return target


def check_ours(folder: Path, name: Path) -> None:
    """Refuse a folder in which anything lies that its manifest does not tell of; `name` is what it is called."""
    sizes = _manifest(folder)
    strangers = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.name != MANIFEST and (path.is_symlink() or not path.is_dir()) and not _told(path, folder, sizes)
    ]
    strangers += [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())
    ]
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise FommError(
            f"{name} holds what was not written here: {strangers[0]}{more}. It is not overwritten.",
            "Name a new folder, or remove what is in the way yourself.",
        )


def digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files in a folder, hidden ones aside, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and not each.name.startswith(".")):
        total.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return total.hexdigest()


def _told(path: Path, folder: Path, sizes: dict[str, int]) -> bool:
    told = sizes.get(path.relative_to(folder).as_posix())
    return told is not None and path.is_file() and not path.is_symlink() and path.stat().st_size == told


def _describe(folder: Path) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    (folder / MANIFEST).write_text(json.dumps({"written_by": "fomm", "files": sizes}) + "\n", encoding="utf-8")


def _manifest(folder: Path) -> dict[str, int]:
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {str(name): int(size) for name, size in told["files"].items()} if told["written_by"] == "fomm" else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of `target`; the old folder disappears only once the new one stands."""
    if not target.exists():
        fresh.rename(target)
        return
    old = sibling(target)
    target.rename(old)
    try:
        check_ours(old, target)  # what was put there meanwhile is not ours to remove
        fresh.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)

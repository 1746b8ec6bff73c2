"""Sets that come as an archive: read member by member into the standard layout; nothing is unpacked where it says."""

from __future__ import annotations

import contextlib
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import numpy as np

from fomm_cli.acquire.cutting import SUFFIX, ClipWriter, Style, count_frames
from fomm_cli.acquire.reasons import NO_SPACE
from fomm_cli.acquire.table import PARTITIONS, plain_id
from fomm_cli.boxes import Box, center_box
from fomm_cli.data.clips import IMAGES, VIDEOS, open_clip
from fomm_cli.errors import FommError, counted
from fomm_cli.files.disk import check_payload, explain_os_error
from fomm_cli.media.sequence import DEFAULT_RATE

MAX_MEMBERS = 5_000_000
MAX_MEMBER = 4 << 30  # bytes of one file, unpacked
MAX_RATIO = 200  # of unpacked to packed bytes, for files that are large enough to matter
_SMALL = 16 << 20
_BLOCK = 1 << 20
# What the readers of archives raise for bytes they do not like; an OSError of theirs has no number of the system's.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, RuntimeError)


@dataclass
class ImportReport:
    """What an import has come to.

    clips    partition ("" where the archive has none) -> how many
    kept     of these, how many were there already
    skipped  (member, reason)
    """

    clips: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    frames: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"clips": dict(self.clips), "kept": self.kept, "frames": self.frames,
                "skipped": [{"member": name, "reason": reason} for name, reason in self.skipped]}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One file of an archive; `key` is what the archive opens it by."""

    name: str
    size: int
    packed: int
    key: Any


class Archive(Protocol):
    """A zip, a tar, or a folder."""

    def members(self) -> Iterator[Member]: ...

    def open(self, member: Member) -> IO[bytes]: ...


class _Zip:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def members(self) -> Iterator[Member]:
        for entry in self._file.infolist():
            link = (entry.external_attr >> 16) & 0o170000 == 0o120000
            if not entry.is_dir() and not link and not entry.flag_bits & 1:
                yield Member(entry.filename, entry.file_size, entry.compress_size, entry)

    def open(self, member: Member) -> IO[bytes]:
        return self._file.open(member.key)


class _Tar:
    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file

    def members(self) -> Iterator[Member]:
        for entry in self._file:
            if entry.isreg():  # no links, no devices
                yield Member(entry.name, entry.size, entry.size, entry)

    def open(self, member: Member) -> IO[bytes]:
        opened = self._file.extractfile(member.key)
        if opened is None:
            raise FommError(f"{member.name} cannot be read.")
        return opened


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def members(self) -> Iterator[Member]:
        for path in sorted(self._root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                size = path.stat().st_size
                yield Member(path.relative_to(self._root).as_posix(), size, size, path)

    def open(self, member: Member) -> IO[bytes]:
        return member.key.open("rb")


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A zip, a tar of any compression, or a folder that was unpacked already."""
    if path.is_dir():
        yield _Folder(path)
        return
    check_payload(path, "the archive")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                yield _Zip(packed)
            return
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as taped:
                yield _Tar(taped)
            return
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise explain_os_error(error, path, "read") from error
        raise FommError(f"{path} is damaged: {error}.", "Download it again.") from error
    raise FommError(f"{path} is no archive.", "Give a zip, a tar, or the folder it was unpacked to.")


def import_archive(path: Path, out: Path, style: Style, say: Callable[[str], None] = lambda line: None) -> ImportReport:
    """Write every clip of an archive as OUT/[train|test]/NAME at the style's size; clips that are there are kept.

    A clip is a video or GIF, a film strip directly in a partition's folder, or a deeper folder of images. What the
    members are called decides nothing but the clip's plain name: no member is written to a path of its own.
    """
    report = ImportReport()
    out.mkdir(parents=True, exist_ok=True)
    with open_archive(path) as archive, tempfile.TemporaryDirectory(prefix=".import-", dir=out) as scratch:
        groups = _group(archive, report)
        for (partition, name), members in groups.items():  # in the archive's order: a tar is read front to back
            target = out / partition / f"{name}{SUFFIX[style.kind]}"
            frames = count_frames(target) if target.exists() else 0
            if frames:
                report.kept += 1
            else:
                try:
                    frames = _import_clip(archive, members, Path(scratch), target, style)
                except FommError as error:
                    if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_SPACE:
                        raise  # no other clip would fare better
                    report.skipped.append((members[0].name, error.what.replace(scratch, "").strip()))
                    continue
            report.clips[partition] += 1
            report.frames += frames
            if sum(report.clips.values()) % 100 == 0:
                say(counted(sum(report.clips.values()), "clip"))
    return report


def _group(archive: Archive, report: ImportReport) -> dict[tuple[str, str], list[Member]]:
    """The members of each clip, by partition and name."""
    groups: dict[tuple[str, str], list[Member]] = {}
    for count, member in enumerate(archive.members()):
        if count >= MAX_MEMBERS:
            raise FommError(f"The archive lists more than {MAX_MEMBERS} files.")
        parts = [part for part in PurePosixPath(member.name.replace("\\", "/")).parts if part not in ("/", ".", "..")]
        if not parts or any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        suffix = PurePosixPath(parts[-1]).suffix.lower()
        if suffix not in VIDEOS | IMAGES:
            report.skipped.append((member.name, "it is neither a video nor an image"))
            continue
        reason = _suspicious(member)
        if reason:
            report.skipped.append((member.name, reason))
            continue
        folders = parts[:-1]
        at = next((index for index, part in enumerate(folders) if part.lower() in PARTITIONS), None)
        partition = folders[at].lower() if at is not None else ""
        inner = folders[at + 1 :] if at is not None else folders[1:]
        frames = suffix in IMAGES and bool(inner)
        words = inner if frames else [*inner, PurePosixPath(parts[-1]).stem]
        group = groups.setdefault((partition, _plain("_".join(words))), [])
        if group and not (frames and _is_image(group[0])):
            report.skipped.append((member.name, f"it has the name of {group[0].name}"))
            continue
        group.append(member)
    return groups


def _plain(name: str) -> str:
    """A clip's name: an id, in which `#` may part person and video."""
    return "#".join(plain_id(part) for part in re.split("#", name)[:4])


def _is_image(member: Member) -> bool:
    return PurePosixPath(member.name).suffix.lower() in IMAGES


def _suspicious(member: Member) -> str:
    if member.size > MAX_MEMBER:
        return f"it has {member.size} bytes"
    if member.size > _SMALL and member.size > MAX_RATIO * max(member.packed, 1):
        return f"it would grow from {member.packed} to {member.size} bytes"
    return ""


def _import_clip(archive: Archive, members: list[Member], scratch: Path, target: Path, style: Style) -> int:
    """Copy the members to names of ours, read them as a clip, write it; the copies go away."""
    work = Path(tempfile.mkdtemp(dir=scratch))
    try:
        for number, member in enumerate(members):
            stem = plain_id(PurePosixPath(member.name).stem) if len(members) > 1 else "clip"
            suffix = PurePosixPath(member.name).suffix.lower()
            name = f"{stem}{suffix}" if not (work / f"{stem}{suffix}").exists() else f"{stem}-{number}{suffix}"
            _copy(archive, member, work / name)
        single = len(members) == 1 and not _lone_frame(members[0])
        return _write(next(work.iterdir()) if single else work, target, style)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _lone_frame(member: Member) -> bool:
    """An image in a folder of its own is a clip of one frame, not a film strip."""
    parts = PurePosixPath(member.name).parts
    return _is_image(member) and len(parts) > 2 and parts[-2].lower() not in PARTITIONS


def _copy(archive: Archive, member: Member, target: Path) -> None:
    """Copy a member, but never more bytes than it says it has."""
    left = min(member.size, MAX_MEMBER)
    try:
        with archive.open(member) as source, target.open("wb") as file:
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise FommError(f"{member.name} is larger than it says.")
                file.write(block)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise explain_os_error(error, member.name, "unpacked") from error
        raise FommError(f"{member.name} is damaged: {error}.") from error


def _write(source: Path, target: Path, style: Style) -> int:
    clip = open_clip(source)
    try:
        height, width = clip.size
        box = center_box(height, width) if style.fit == "square" else Box(0, 0, width, height)
        writer = ClipWriter(style.kind, target, clip.rate or DEFAULT_RATE, Box(*box), style.size, force=True)
        count = 0
        try:
            for frame in clip:
                writer.write(np.ascontiguousarray(frame))
                count += 1
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        return count
    finally:
        clip.close()

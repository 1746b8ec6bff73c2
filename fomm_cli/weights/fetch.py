"""Getting weights onto this machine: from the Hub as they are, published checkpoints converted on arrival."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from fomm_cli.errors import FommError, nearest
from fomm_cli.files import disk, download
from fomm_cli.files.listener import announce
from fomm_cli.weights import hub
from fomm_cli.weights.catalogue import CATALOGUE, Entry, Source
from fomm_cli.weights.header import looks_like_checkpoint, read_header


class Fetched(NamedTuple):
    """A weights file that is here now.

    path      the file
    source    the address it was downloaded from; None when it was here already
    note      what to know about its origin, such as that nobody publishes its hash
    failed    addresses that were tried before, each with its reason
    """

    path: Path
    source: str | None
    note: str
    failed: list[str]


def fetch(name: str, force: bool = False) -> Fetched:
    """Bring a catalogue name or an hf:// address to this machine.

    A catalogue name is downloaded from its sources in turn until one arrives whole, is checked (the published hash
    where there is one; every key and shape against the preset of that name, always) and stored converted in
    `cache_dir()/weights`. An hf:// file stays in the Hub client's cache; a `.pth.tar` there is converted next to ours.
    `files.listener` hears of size, licences, progress and of sources that failed.
    force   fetch again what is here already
    """
    if name.startswith(hub.SCHEME):
        return _from_hub(name, force)
    if name not in CATALOGUE:
        raise FommError(f"There are no weights called {name!r}.", nearest(name, list(CATALOGUE)))
    entry = CATALOGUE[name]
    if entry.bundled:
        if not entry.path.is_file():
            raise FommError(
                f"The bundled weights {entry.name} are missing from this installation.",
                "Install fomm again: pip install --force-reinstall fomm-cli.",
            )
        return Fetched(entry.path, None, "bundled with fomm", [])
    if entry.path.is_file() and not force and _is_whole(entry.path):
        return Fetched(entry.path, None, "here already", [])
    failed = []
    for source in entry.sources:
        announce(
            f"Fetching {name}, about {entry.megabytes} MB, from {source.address}\n"
            f"  Licence of the weights: {entry.weights_licence}. Of the data: {entry.data_licence}."
        )
        try:
            note = _from_source(entry, source, force)
        except FommError as error:
            failed.append(f"{source.address}: {error.what}")
            announce(f"Tried {failed[-1]}")
        else:
            return Fetched(entry.path, source.address, note, failed)
    raise FommError(
        f"{name} could not be fetched. " + (" ".join(failed) or "Its makers name no file to fetch, only folders."),
        f"Download it by hand from {entry.by_hand}, then: fomm weights convert {entry.brought} "
        f"--config {entry.preset} -o {name}.safetensors",
    )


def _is_whole(path: Path) -> bool:
    """Whether a file that was converted before can still be opened; one that cannot is fetched again."""
    try:
        read_header(path)
    except FommError:
        return False
    return True


def _from_hub(address: str, force: bool) -> Fetched:
    path = hub.download(address, force)
    if not looks_like_checkpoint(path):
        return Fetched(path, address, "in the Hub client's cache", [])
    target = disk.cache_dir() / "weights" / f"{_short(address)}-{path.name.split('.')[0]}.safetensors"
    if target.is_file() and not force:
        return Fetched(target, None, "here already", [])
    from fomm_cli.weights.convert import convert

    done = convert(path, target, provenance={"source": address}, force=True)
    told = ", ".join(f"{key}={value}" for key, value in done.assumed.items())
    return Fetched(target, address, f"converted; assumed {told}", [])


def _from_source(entry: Entry, source: Source, force: bool) -> str:
    """Download, check and convert one source; returns what to know about its origin."""
    from fomm_cli.weights.convert import convert

    if source.files:  # each from the Hub, into one snapshot of its repository
        paths = [hub.download(f"{source.address}/{file}", force) for file in source.files]
        original, ours = paths[0].parents[source.files[0].count("/")], False
    elif source.address.startswith(hub.SCHEME):
        original, ours = hub.download(source.address, force), False
    else:
        original = disk.cache_dir() / "downloads" / f"{_short(source.address)}-{entry.name}.pth.tar"
        download.fetch(source.address, original, source.sha256)
        ours = True
    try:
        note = _check_hash(original, source)
        convert(
            original,
            entry.path,
            entry.preset,
            provenance={"source": source.address, "cited_by": source.cited, "note": source.note},
            force=True,
        )
    except FommError as error:
        # A bad file must go, else the next attempt would take it for a finished download. A good one stays where only
        # the disk refused the result.
        if ours and not isinstance(error.__cause__, OSError):
            original.unlink(missing_ok=True)
        raise
    if ours:
        original.unlink(missing_ok=True)
    return "; ".join(part for part in (source.note, note) if part)


def _check_hash(path: Path, source: Source) -> str:
    if source.files:
        return "nobody publishes hashes of the original files; those of what arrived are in its provenance"
    found = disk.sha256(path)
    if source.sha256 is not None:
        if found != source.sha256:
            raise FommError(f"its sha256 is {found}, not {source.sha256}.")
        return "sha256 as published"
    if source.md5 is not None:
        digest = _md5(path)
        if digest != source.md5:
            raise FommError(f"its md5 is {digest}, not {source.md5} as {source.cited} says.")
        return f"md5 as published by {source.cited}"
    return f"nobody publishes a hash of the original file; what arrived has sha256 {found}"


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(disk.CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _short(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:8]

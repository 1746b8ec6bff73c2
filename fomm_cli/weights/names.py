"""From what `--weights` is given to a file on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from fomm_cli.errors import FommError, nearest
from fomm_cli.weights.catalogue import CATALOGUE, Entry
from fomm_cli.weights.hub import SCHEME, download

_SUFFIXES = (".safetensors", ".tar", ".pth", ".pt")


def resolve(name_or_path: str | Path) -> Path:
    """The file behind a bundled name, a path, an hf:// address or a catalogue name.

    Names stand before files of the same name: write ./toon-128 for the file. Only hf:// reaches for the network, where
    its cache does not hold the file; a published checkpoint is a pickle and must be fetched (and so converted) first.
    Raises FommError: unknown name (the nearest one is suggested), a name not fetched yet, a missing file.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str):
        if name in CATALOGUE:
            return _known(CATALOGUE[name])
        if name.startswith(SCHEME):
            return download(name)
        if name.startswith(("http://", "https://")):
            raise FommError(
                f"{name} is a web address; weights are files, names or hf:// addresses.",
                "Download the file and pass its path; a .pth.tar goes through `fomm weights convert`.",
            )
    path = Path(name_or_path)
    if path.exists():
        return path
    if "/" in name or os.sep in name or name.endswith(_SUFFIXES) or isinstance(name_or_path, Path):
        raise FommError(f"{name} does not exist.", _no_file(name))
    raise FommError(
        f"There are no weights called {name!r}.",
        f"{nearest(name, list(CATALOGUE))} `fomm weights list` shows all. "
        "A file needs its suffix, a repository on the Hub hf://owner/repo.",
    )


def _known(entry: Entry) -> Path:
    if entry.path.is_file():
        return entry.path
    if entry.bundled:
        raise FommError(
            f"The bundled weights {entry.name} are missing from this installation.",
            "Install fomm again: pip install --force-reinstall fomm-cli.",
        )
    raise FommError(
        f"{entry.name} is not on this machine yet.",
        f"`fomm weights fetch {entry.name}` downloads and converts it; `fomm weights list` tells its licence.",
    )


def _no_file(name: str) -> str:
    bare = Path(name).name.split(".")[0]
    if name.count("/") == 1 and not name.endswith(_SUFFIXES) and not name.startswith((".", "/")):
        return f"For a repository on the Hub write {SCHEME}{name}."
    return f"The name {bare} would do: leave the folder and suffix away." if bare in CATALOGUE else "Check the path."

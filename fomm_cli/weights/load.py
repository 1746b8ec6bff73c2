"""Weights by name, as a model ready to run or as the start of a training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fomm_cli import device as devices
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError, nearest
from fomm_cli.files.listener import offline
from fomm_cli.model.network import AnimationModel
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT, DROPPED, Entry
from fomm_cli.weights.convert import read_published
from fomm_cli.weights.file import (
    Shape,
    StateDict,
    build_model,
    compare,
    discriminator_shapes,
    expected_shapes,
    read_weights,
    shapes_of,
)
from fomm_cli.weights.header import Header, looks_like_checkpoint, read_header
from fomm_cli.weights.hub import SCHEME, download

_SUFFIXES = (".safetensors", ".tar", ".pth", ".pt")


def resolve(name_or_path: str | Path, fetching: bool = True) -> Path:
    """The file behind a bundled name, a path, an hf:// address or a catalogue name.

    Names stand before files of the same name: write ./toon-128 for the file. What is not on this machine yet, a name or
    an hf:// file, is fetched (and a published checkpoint converted); `files.listener` hears of it.
    fetching   False: a name that is not here is refused; only hf:// is fetched, being no more than an address
    Raises FommError: unknown name (the nearest one is suggested), one that was dropped (its successor is named), a
    missing file, what cannot or may not be fetched.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str):
        if name in CATALOGUE:
            return _known(CATALOGUE[name], fetching)
        if name in DROPPED:
            raise FommError(
                f"{name} does not come with fomm any more.",
                f"{DROPPED[name]} has taken its place: --weights {DROPPED[name]}.",
            )
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


def _known(entry: Entry, fetching: bool) -> Path:
    if entry.path.is_file():
        return entry.path
    if fetching and (entry.bundled or not offline()):
        from fomm_cli.weights.fetch import fetch

        return fetch(entry.name).path
    forbidden = ", and HF_HUB_OFFLINE or --offline forbids to fetch it" if fetching else ""
    raise FommError(
        f"{entry.name} is not on this machine yet{forbidden}.",
        f"`fomm weights fetch {entry.name}` downloads and converts it; `fomm weights list` tells its licence.",
    )


def _no_file(name: str) -> str:
    bare = Path(name).name.split(".")[0]
    if name.count("/") == 1 and not name.endswith(_SUFFIXES) and not name.startswith((".", "/")):
        return f"For a repository on the Hub write {SCHEME}{name}."
    return f"The name {bare} would do: leave out folder and suffix." if bare in CATALOGUE else "Check the path."


class Initial(NamedTuple):
    """Where a training starts from.

    config          the one the weights were made with
    model           the network's state, float32
    discriminator   the discriminator's state, None when the weights have none
    assumed         dotted key -> value that a published checkpoint does not tell; empty for our own files
    path            the file they come from
    """

    config: Config
    model: StateDict
    discriminator: StateDict | None
    assumed: dict[str, Any]
    path: Path


def load_model(name_or_path: str | Path = DEFAULT, device: str = "auto") -> AnimationModel:
    """The model in eval mode, its parameters frozen, on `device`.

    name_or_path   a bundled name, a `.safetensors` file, `hf://owner/repo[/file][@revision]`, or a catalogue name
    device         auto, cpu, cuda, cuda:N or mps
    returns        the network of its family; `.size` is the (height, width) its weights were trained at, `.config` its
                   architecture
    Raises FommError: unknown name, unreadable or foreign file, tensors that do not fit the config beside them.
    """
    wanted = devices.resolve(device)
    header = read_header(resolve(name_or_path))
    with torch.device("meta"):  # without numbers: the file brings them
        model = build_model(header.config, [part for part in header.optional if part != "discriminator"])
    _check(header, shapes_of(model))
    model.load_state_dict(read_weights(header).model, assign=True)
    model.usual = header.config.animate.usual
    return model.eval().requires_grad_(False).to(wanted)


def read_config(name_or_path: str | Path = DEFAULT) -> Config:
    """The config stored in a weights file, by path or name."""
    return read_header(resolve(name_or_path)).config


def init_from(name_or_path: str | Path) -> Initial:
    """Weights to start a training from, the discriminator included when there is one.

    name_or_path   as in `load_model`, or a published `.pth.tar`, whose architecture is read off its shapes
    """
    path = resolve(name_or_path)
    if looks_like_checkpoint(path):
        published = read_published(path)
        return Initial(published.config, published.model, published.discriminator, published.assumed, path)
    header = read_header(path)
    _check(header, expected_shapes(header.config, [part for part in header.optional if part != "discriminator"]))
    weights = read_weights(header)
    return Initial(header.config, weights.model, weights.discriminator, {}, path)


def _check(header: Header, expected: dict[str, Shape]) -> None:
    """That the file's tensors fit its config, before any of them is read; `expected` are those of the model."""
    if "discriminator" in header.parts:
        expected = expected | discriminator_shapes(header.config)
    compare(
        expected,
        {name: shape for name, (_, shape) in header.tensors.items()},
        str(header.path),
        "The file was changed after it was written; fetch or convert it again.",
    )

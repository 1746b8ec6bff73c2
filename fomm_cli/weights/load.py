"""Weights by name, as a model ready to run or as the start of a training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from fomm_cli import device as devices
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError, nearest
from fomm_cli.model.network import FirstOrderModel
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT, Entry
from fomm_cli.weights.convert import read_published
from fomm_cli.weights.file import StateDict, Weights, build_model, compare, expected_shapes, read_weights
from fomm_cli.weights.header import looks_like_checkpoint, read_header
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


class Initial(NamedTuple):
    """Where a training starts from.

    config          the one the weights were made with
    model           a FirstOrderModel's state, float32
    discriminator   a Discriminator's state, None when the weights have none
    assumed         dotted key -> value that a published checkpoint does not tell; empty for our own files
    path            the file they come from
    """

    config: Config
    model: StateDict
    discriminator: StateDict | None
    assumed: dict[str, Any]
    path: Path


def load_model(name_or_path: str | Path = DEFAULT, device: str = "auto") -> FirstOrderModel:
    """The model in eval mode, its parameters frozen, on `device`.

    name_or_path   a bundled name, a `.safetensors` file, `hf://owner/repo[/file][@revision]`, or a catalogue name
    device         auto, cpu, cuda, cuda:N or mps
    returns        a FirstOrderModel; `.size` is the (height, width) its weights were trained at, `.config` its
                   architecture
    Raises FommError: unknown name, unreadable or foreign file, tensors that do not fit the config beside them.
    """
    place = devices.resolve(device)
    path = resolve(name_or_path)
    weights = _checked(path)
    model = build_model(weights.header.config)
    model.load_state_dict(weights.model)
    return model.eval().requires_grad_(False).to(place)


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
    weights = _checked(path)
    return Initial(weights.header.config, weights.model, weights.discriminator, {}, path)


def _checked(path: Path) -> Weights:
    """The file's tensors, known to fit its config before anything is allocated for them."""
    header = read_header(path)
    shapes = {name: shape for name, (_, shape) in header.tensors.items()}
    compare(
        expected_shapes(header.config, "discriminator" in header.parts),
        shapes,
        str(path),
        "The file was changed after it was written; fetch or convert it again.",
    )
    return read_weights(path)

"""Published checkpoints into ours: a table of prefixes, then a strict comparison of every key and shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.version import __version__
from fomm_cli.weights import catalogue
from fomm_cli.weights.file import StateDict, check_finite, compare, expected_shapes, save_weights
from fomm_cli.weights.pickles import Checkpoint, read_checkpoint

_ENDS = (".safetensors", ".pth")
_COUNTER = ".num_batches_tracked"


class Converted(NamedTuple):
    """A published checkpoint in our names.

    state     every tensor, the discriminator's under `discriminator.`
    config    what it was built with
    assumed   dotted key -> value that the file does not tell; empty when a config was given
    dropped   published keys left out on purpose
    filled    how many missing batch counters were set to 0
    epoch     epochs trained, where the file says
    """

    state: StateDict
    config: Config
    assumed: dict[str, Any]
    dropped: list[str]
    filled: int
    epoch: int | None

    @property
    def model(self) -> StateDict:
        """The state of the network."""
        return {name: value for name, value in self.state.items() if not name.startswith("discriminator.")}

    @property
    def discriminator(self) -> StateDict | None:
        """The discriminator's state without its prefix, None when there is none."""
        prefix = "discriminator."
        return {n.removeprefix(prefix): v for n, v in self.state.items() if n.startswith(prefix)} or None


def convert(
    source: str | Path,
    target: str | Path,
    config: str | Path | None = None,
    overrides: list[str] | None = None,
    dtype: torch.dtype | None = None,
    provenance: dict[str, Any] | None = None,
    force: bool = False,
) -> Converted:
    """Convert a published `.pth.tar` and write it as one weights file; see `read_published`.

    dtype        as in `save_weights`
    provenance   added to what is known: the source's name and sha256, its epoch, the assumed values
    """
    disk.check_free(target, force)  # before reading hundreds of megabytes
    config = config or _known(source)
    converted = read_published(source, config, overrides)
    name = _name(config, target)
    converted = converted._replace(config=converted.config.model_copy(update={"name": name}))
    origin = {
        "converted_from": Path(source).name,
        "converted_sha256": _digest(Path(source)),
        "converted_by": f"fomm {__version__}",
        "epoch": converted.epoch,
        "assumed": converted.assumed,
        **(provenance or {}),
    }
    save_weights(target, converted.model, converted.config, dtype, converted.discriminator, origin, force)
    return converted


def read_published(
    source: str | Path, config: str | Path | None = None, overrides: list[str] | None = None
) -> Converted:
    """A published checkpoint in our names, every key accounted for.

    config      a preset, our YAML or an upstream one; None: of a file that the catalogue knows by its hash its preset,
                else the architecture is read off the shapes
    overrides   `key.path=value`, applied on top of either
    Raises FommError: see `read_checkpoint`; and for keys or shapes that the architecture does not have, or lacks.
    """
    config = config or _known(source)
    checkpoint = read_checkpoint(source)
    state, dropped = rename(checkpoint)
    check_finite(state, str(source))
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    stored = {
        f"{part}.{key}": tuple(value.shape) for part, each in checkpoint.parts.items() for key, value in each.items()
    }
    assumed: dict[str, Any] = {}
    if config is not None:
        built = configs.load(config, overrides)
        if built.model.family != checkpoint.family.name:
            raise FommError(
                f"{source} is a checkpoint of {checkpoint.family.title}, but {config} describes another family.",
                "Convert without --config to read the architecture from the checkpoint.",
            )
        checkpoint.published.check(built.model, stored, str(source))
    else:
        read = checkpoint.published.read_architecture(shapes, stored)
        tree, assumed = read.tree, dict(read.assumed)
        tree["name"] = Path(source).name.split(".")[0]
        tree["description"] = f"Converted from {Path(source).name}; architecture read off its shapes."
        for override in overrides or []:
            assumed.pop(override.partition("=")[0].strip(), None)
        built = configs.build(configs.override(tree, overrides or []), str(source))
    present = {name.partition(".")[0] for name in state}
    expected = expected_shapes(built, [part for part in checkpoint.family.optional_parts if part in present])
    filled = _fill_counters(state, expected)
    broken = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise FommError(
            f"{source}: {len(broken)} tensors hold NaN or infinity, such as {broken[0]}.", "Use another one."
        )
    compare(expected, {name: tuple(value.shape) for name, value in state.items()}, str(source), _hint(config))
    return Converted(state, built, assumed, dropped, filled, checkpoint.epoch)


def rename(checkpoint: Checkpoint) -> tuple[StateDict, list[str]]:
    """(our name -> tensor, dropped published keys). Floating-point tensors become float32, unless they are float64."""
    rules = checkpoint.published.RULES
    state: StateDict = {}
    dropped = []
    for part, tensors in checkpoint.parts.items():
        for key, value in tensors.items():
            name = f"{part}.{key}"
            prefix = next(prefix for prefix in rules if name.startswith(prefix))
            ours = rules[prefix]
            if ours is None:
                dropped.append(name)
            else:
                state[ours + name.removeprefix(prefix)] = (
                    value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
                )
    return state, dropped


def _known(source: str | Path) -> str | None:
    """The preset that the makers' own file was trained by, which tells more than its shapes."""
    entry = catalogue.recognised(Path(source))
    return None if entry is None else entry.preset


def _fill_counters(state: StateDict, expected: dict[str, tuple[int, ...]]) -> int:
    """Older torch stored no `num_batches_tracked`; it plays no part at the momentum used, so 0 will do."""
    missing = [name for name in expected if name.endswith(_COUNTER) and name not in state]
    for name in missing:
        state[name] = torch.zeros((), dtype=torch.int64)
    return len(missing)


def _hint(config: str | Path | None) -> str:
    if config is not None:
        return "Convert without --config to read the architecture from the checkpoint itself."
    return "Checkpoints of other models and with added layers cannot be converted."


def _digest(source: Path) -> str | dict[str, str]:
    """Of the file; of a folder, of each file in it."""
    if source.is_dir():
        return {path.name: disk.sha256(path) for path in sorted(source.rglob("*")) if path.suffix in _ENDS}
    return disk.sha256(source)


def _name(config: str | Path | None, target: str | Path) -> str:
    """The name stored in the file: the preset's, else the output's."""
    if config is not None and str(config) in configs.presets():
        return str(config)
    return Path(target).name.split(".")[0]

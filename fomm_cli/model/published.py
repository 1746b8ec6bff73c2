"""What a family knows of its authors' repository: their names for networks and settings, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of every tensor."""


class Architecture(NamedTuple):
    """A config read off a checkpoint.

    tree      nested plain values of the `model` and `data` sections, as `config.build` takes them
    assumed   dotted key -> value that the file could not tell
    """

    tree: dict[str, Any]
    assumed: dict[str, Any]


class Published(Protocol):
    """The way in for published checkpoints and configs: a module of the family, with these names."""

    WHAT: str
    """What a checkpoint is and holds, as a sentence for whoever brings another."""
    REQUIRED: tuple[str, ...]
    """Networks at the top of a checkpoint, by which it is recognised."""
    OPTIONAL: tuple[str, ...]
    """Networks that may stand beside them."""
    EPOCH: str
    """Key of the epochs trained."""
    RULES: dict[str, str | None]
    """Published prefix -> ours, the first match wins; None is dropped on purpose."""
    KEYS: dict[str, str | None]
    """Key of the authors' YAML -> ours; None where it means nothing here on purpose."""
    SILENT: dict[str, Any]
    """Our key -> what the authors' code assumes where their YAML is silent and our default differs."""

    def read_architecture(self, shapes: Shapes, published: Shapes) -> Architecture:
        """The config of a checkpoint, by the shapes under our names and under the published ones.

        Raises FommError where the shapes are not those of this family.
        """
        ...

    def check(self, config: Any, published: Shapes, where: str) -> None:
        """Raise FommError where a given `model` section contradicts what the checkpoint tells."""
        ...

    def in_our_terms(self, key: str, value: Any) -> Any:
        """The value of a key of the authors' YAML in our terms."""
        ...


class SeveralFiles(Published, Protocol):
    """The same where a checkpoint is several files."""

    FILES: tuple[str, ...]
    """Their names without the suffix."""

    def gather(self, stored: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Network -> key -> tensor of what the FILES hold, by name."""
        ...

"""A config from a preset, a file of ours or an upstream one, and `--set key.path=value` over it."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from fomm_cli.config.schema import Config
from fomm_cli.config.translation import MARKS, translate
from fomm_cli.errors import FommError
from fomm_cli.model.families import FAMILIES, family_of


class _Once(yaml.SafeLoader):
    """YAML in which a key given twice is an error, instead of silently taking the place of the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name} is given twice, in lines {seen[name]} and {line}"
                )
            seen[name] = line
        return super().construct_mapping(node, deep)


class Loaded(NamedTuple):
    """A config and the keys of its file that have no meaning here."""

    config: Config
    ignored: list[str]


def presets() -> list[str]:
    """Names of the shipped presets."""
    folder = resources.files("fomm_cli") / "presets"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load(source: str | Path, overrides: list[str] | None = None) -> Config:
    """The config of a preset, of our YAML file or of an upstream one, with `key.path=value` overrides applied.

    Raises FommError: unknown preset, unreadable file, unknown key (with the nearest right one), value out of range.
    """
    return read(source, overrides).config


def read(source: str | Path, overrides: list[str] | None = None) -> Loaded:
    """As `load`, and says which keys of the file were ignored."""
    name = str(source)
    if name in presets():
        text = (resources.files("fomm_cli") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
        fallback = name
    elif Path(source).is_file():
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FommError(f"{name} cannot be read as text: {error}") from error
        fallback = Path(source).stem
    else:
        close = difflib.get_close_matches(name, presets(), n=1, cutoff=0.4)
        near = f"Did you mean {close[0]}? " if close else ""
        raise FommError(
            f"{name} is neither a preset nor a file.",
            f"{near}`fomm config list` shows the presets: {', '.join(presets())}.",
        )
    try:
        tree = yaml.load(text, _Once)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: of a date or a number that cannot be
        raise FommError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not tree:
        raise FommError(f"{name} is empty: it sets no key.", "`fomm config show vox-256` prints a complete file.")
    if not isinstance(tree, dict):
        raise FommError(
            f"{name} does not hold a mapping of keys.", "`fomm config show vox-256` prints a complete file."
        )
    ignored: list[str] = []
    if any(key in tree for key in MARKS):
        tree, ignored = translate(tree)
    tree.setdefault("name", fallback)
    for override in overrides or []:
        _override(tree, override)
    return Loaded(build(tree, name), ignored)


def build(tree: dict[str, Any], where: str = "config") -> Config:
    """A config from nested plain values; problems become one FommError that names each key."""
    try:
        return Config.model_validate(completed(tree))
    except ValidationError as error:
        raise FommError(f"{where}: {_explain(error)}", "`fomm config show vox-256` lists every key.") from error


def completed(tree: dict[str, Any]) -> dict[str, Any]:
    """A config from before `animate.framing` with that of the preset it is named after: some presets know no faces."""
    animate, name = tree.get("animate", {}), tree.get("name")
    if not isinstance(animate, dict) or "framing" in animate or name not in presets():
        return tree
    preset = yaml.safe_load((resources.files("fomm_cli") / "presets" / f"{name}.yaml").read_text(encoding="utf-8"))
    own = {key: value for key, value in preset.get("animate", {}).items() if key == "framing"}
    return {**tree, "animate": {**animate, **own}}


def keys() -> tuple[str, ...]:
    """Every dotted key that some family has, as `--set` takes it."""

    def walk(kind: Any, prefix: str) -> list[str]:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return [prefix]
        return [key for name, field in kind.model_fields.items() for key in walk(field.annotation, f"{prefix}.{name}")]

    found: list[str] = []
    for family in FAMILIES.values():
        for name, field in Config.model_fields.items():
            found += walk({"model": family.Config, "train": family.Train}.get(name, field.annotation), name)
    return tuple(dict.fromkeys(found))


def override(tree: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """`tree`, nested plain values as `build` takes them, with `key.path=value` overrides written into it."""
    for one in overrides:
        _override(tree, one)
    return tree


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals:
        raise FommError(f"--set {override}: no value given.", "Write it as --set train.batch_size=8.")
    if key not in keys():
        raise FommError(f"There is no key {key}.", _nearest_key(key))
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FommError(f"--set {override}: the value is not valid YAML.") from error
    *parents, leaf = key.split(".")
    model = tree.get("model")
    defaults = Config.model_validate({"model": {"family": family_of(model if isinstance(model, dict) else {}).name}})
    section = defaults.model_dump(mode="json")
    for parent in parents:
        section = section.get(parent, {})  # a section that is not there has its own defaults, not those of its keys
        inner = tree.setdefault(parent, section)
        if not isinstance(inner, dict):
            raise FommError(f"{parent} must be a mapping of keys.")
        tree = inner
    tree[leaf] = value


def _nearest_key(key: str) -> str:
    close = difflib.get_close_matches(key, keys(), n=1, cutoff=0.3)
    leaf = key.rpartition(".")[2]
    same_leaf = [known for known in keys() if known.rpartition(".")[2] == leaf]
    best = (same_leaf or close)[:1]
    return f"Did you mean {best[0]}?" if best else "`fomm config show vox-256` lists every key."


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors()[:5]:
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"there is no key {key}. {_nearest_key(key)}")
        else:
            problems.append(f"{key or 'value'}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)

"""What a weights file says of itself, read without torch and without trusting it.

A weights file is one `.safetensors` whose metadata holds text under four keys:

    fomm.format       version of this layout: "1", or "2" where kernels are stored in eight bits (`stored.py`)
    fomm.version      the fomm that wrote it
    fomm.config       the whole Config as JSON: architecture, frame size, training
    fomm.provenance   a JSON object: where the numbers come from

Tensors are named after the modules, which are the family's: `keypoint_detector.`, `dense_motion.`, `generator.`, and
perhaps `discriminator.` in first order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.model.families import family_of
from fomm_cli.model.family import Family
from fomm_cli.weights import stored

FORMATS = ("1", "2")
WHAT = "the weights file"
_KINDS = ("F64", "F32", "F16", "BF16", "I64", "I8")
_AGAIN = "Fetch or convert the file again; `fomm weights list` shows where weights come from."


@dataclass(frozen=True)
class Header:
    """One weights file, without its numbers.

    tensors      name -> (dtype as safetensors spells it, shape); scales of int8 kernels are not counted
    provenance   free-form JSON object; empty when the writer gave none
    """

    path: Path
    config: Config
    provenance: dict[str, Any]
    written_by: str
    tensors: stored.Kinds

    @property
    def parts(self) -> list[str]:
        """The networks inside, in their family's order."""
        found = {name.partition(".")[0] for name in self.tensors}
        return [part for part in (*self.family.parts, *self.family.optional_parts) if part in found]

    @property
    def optional(self) -> list[str]:
        """Those of them that a file of this family need not hold."""
        return [part for part in self.parts if part in self.family.optional_parts]

    @property
    def family(self) -> Family:
        """The family of motion models that this is one of."""
        return family_of(self.config.model)

    def parameters(self, part: str | None = None) -> int:
        """Numbers stored for one network (or all), running statistics included, counters not."""
        wanted = self.tensors if part is None else {n: t for n, t in self.tensors.items() if n.startswith(part + ".")}
        return sum(math.prod(shape) for dtype, shape in wanted.values() if dtype != "I64")

    def dtypes(self) -> dict[str, int]:
        """Numbers stored in each floating-point format, the most frequent first."""
        counts: dict[str, int] = {}
        for dtype, shape in self.tensors.values():
            if dtype != "I64":
                counts[dtype] = counts.get(dtype, 0) + math.prod(shape)
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def read_header(path: str | Path) -> Header:
    """The header of a weights file.

    Raises FommError for what is no weights file (missing, a folder, LFS pointer, web page, truncated, a pickle,
    somebody else's safetensors) and for a config that is unknown to this version or does not go with the tensors.
    """
    path = check_kind(path)
    metadata, tensors = _safetensors(path)
    if "fomm.config" not in metadata:
        raise FommError(
            f"{path} is a safetensors file, but not one of fomm's: it carries no config.",
            "Use a file written by `fomm train` or `fomm weights convert`.",
        )
    if (version := metadata.get("fomm.format", "")) not in FORMATS:
        raise FommError(
            f"{path} is written in layout {version[:20]!r} of weights files; this fomm reads {' and '.join(FORMATS)}.",
            "Upgrade fomm: pip install --upgrade fomm-cli.",
        )
    config = configs.build(_json(path, metadata, "fomm.config"), str(path))
    family = family_of(config.model)
    known = {*family.parts, *family.optional_parts}
    scales = stored.scales(tensors)
    tensors = {name: kind for name, kind in tensors.items() if name not in scales.values()}
    for name, (dtype, _) in tensors.items():
        bare = dtype == "I8" and name not in scales
        if dtype not in _KINDS or bare or name.partition(".")[0] not in known:
            raise FommError(f"{path} holds something that is no weight of a model: {name[:80]!r} ({dtype}).", _AGAIN)
    _sane(path, config, len(tensors))
    provenance = _json(path, metadata, "fomm.provenance") if "fomm.provenance" in metadata else {}
    return Header(path, config, provenance, metadata.get("fomm.version", "unknown"), tensors)


def check_kind(path: str | Path) -> Path:
    """`path` if it looks like a weights file at all; FommError with what it is instead and what to do."""
    path = Path(path)
    if path.is_dir():
        raise FommError(
            f"{path} is a folder, not {WHAT}.",
            "Pass the .safetensors file itself. Of folders, `fomm animate` takes those of `fomm export`.",
        )
    disk.check_payload(path, WHAT)
    if looks_like_checkpoint(path):
        raise FommError(
            f"{path} is a torch checkpoint (a pickle), not a .safetensors weights file.",
            f"Convert it once: fomm weights convert {path} -o {path.name.split('.')[0]}.safetensors",
        )
    return path


def looks_like_checkpoint(path: str | Path) -> bool:
    """Whether to read the file as a torch checkpoint rather than as safetensors, by its name or first bytes."""
    path = Path(path)
    if path.name.lower().endswith((".pth.tar", ".pth", ".pt", ".ckpt", ".tar")):
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{":  # a safetensors header; the eight bytes before it are its length and may look like anything
        return False
    return head[:4] == b"PK\x03\x04" or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04")


def _safetensors(path: Path) -> tuple[dict[str, str], stored.Kinds]:
    """(metadata, tensors) as the safetensors library reads them; it refuses huge headers and overlapping data."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            metadata = dict(file.metadata() or {})
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            tensors = {name: (str(one.get_dtype()), tuple(one.get_shape())) for name, one in slices.items()}
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ").rstrip(".")
        raise FommError(
            f"{path} is no readable safetensors file: truncated, damaged or of another kind ({reason}).", _AGAIN
        ) from error
    except OSError as error:
        raise disk.explain_os_error(error, path, "read") from error
    return metadata, tensors


def _json(path: Path, metadata: dict[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise FommError(f"{path}: its metadata {key} is not JSON.", _AGAIN) from error
    if not isinstance(value, dict):
        raise FommError(f"{path}: its metadata {key} is not a JSON object.", _AGAIN)
    return value


def _sane(path: Path, config: Config, tensors: int) -> None:
    """Refuse a config that would build something out of proportion before its shapes can be compared."""
    blocks = 0
    for key, value in _leaves(config.model.model_dump()):
        values = value if isinstance(value, list | tuple) else [value]
        numbers = [each for each in values if isinstance(each, int | float)]
        if "blocks" in key or "depth" in key:
            blocks += sum(int(number) for number in numbers)
        tiny = "scale" in key and min(numbers, default=1) < 1 / 64
        if tiny or len(values) > 64 or max(numbers, default=0) > 1 << 16 or blocks > tensors:
            raise FommError(f"{path}: its config does not describe the tensors beside it.", _AGAIN)


def _leaves(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield key, value

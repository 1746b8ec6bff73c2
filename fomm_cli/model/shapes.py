"""Reading an architecture off the shapes of a published checkpoint: what all families' networks have in common."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from fomm_cli.errors import FommError
from fomm_cli.model.published import Architecture, Shapes


class ShapeReader:
    """The shapes of one checkpoint. Whatever does not fit raises FommError and says what was expected.

    shapes     our name -> shape
    published  published name -> shape: the stored anti-alias kernels, which are no weights of ours, tell the scales
    what       the model that they should be of: "a first-order motion model"
    """

    def __init__(self, shapes: Shapes, published: Shapes, what: str) -> None:
        self.shapes = shapes
        self.published = published
        self.what = what

    def has(self, part: str) -> bool:
        """Whether any tensor belongs to a network of ours."""
        return any(name.startswith(part + ".") for name in self.shapes)

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Of a tensor that must be there, with so many axes."""
        shape = self.shapes.get(name)
        if shape is None:
            self.refuse(f"{name} is missing")
        if len(shape) != axes or min(shape) < 1:
            self.refuse(f"{name} has shape {list(shape)}")
        return shape

    def count(self, prefix: str) -> int:
        """How many blocks 0, 1, 2, ... follow `prefix`; a gap is an error."""
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        found = {int(match[1]) for name in self.shapes if (match := pattern.match(name))}
        if found != set(range(len(found))):
            self.refuse(f"{prefix}* is numbered {sorted(found)[:10]}")
        return len(found)

    def hourglass(self, prefix: str, usual: int) -> tuple[dict[str, Any], int]:
        """(block_expansion, max_features, num_blocks; input channels) of an hourglass; `usual` as in `cap`."""
        count = self.count(f"{prefix}.encoder.down_blocks.")
        if self.count(f"{prefix}.decoder.up_blocks.") != count or count == 0:
            self.refuse(f"{prefix} is no hourglass: its down and up blocks do not pair")
        down = [self.shape(f"{prefix}.encoder.down_blocks.{i}.conv.weight", 4) for i in range(count)]
        # the last block up is e wide
        first = self.shape(f"{prefix}.decoder.up_blocks.{count - 1}.conv.weight", 4)[0]
        cap = self.cap(prefix, usual, first, [shape[0] for shape in down])
        return {"block_expansion": first, "max_features": cap, "num_blocks": count}, down[0][1]

    def encoder(self, prefix: str, usual: int) -> dict[str, Any]:
        """(block_expansion, max_features, num_down_blocks) of a generator's way down; `usual` as in `cap`."""
        first = self.shape(f"{prefix}.first.conv.weight", 4)[0]
        count = self.count(f"{prefix}.down_blocks.")
        widths = [self.shape(f"{prefix}.down_blocks.{i}.conv.weight", 4)[0] for i in range(count)]
        cap = self.cap(prefix, usual, first, widths)
        return {"block_expansion": first, "max_features": cap, "num_down_blocks": count}

    def avd(self) -> dict[str, int]:
        """(id_bottle_size, pose_bottle_size) of the disentanglement network."""
        return {f"{part}_bottle_size": self.shape(f"avd.{part}_encoder.9.weight", 2)[0] for part in ("id", "pose")}

    def cap(self, prefix: str, usual: int, first: int, widths: list[int]) -> int:
        """max_features of blocks that should be min(max_features, first * 2^(i+1)) wide.

        usual   the published cap: where no block reaches it, any larger one builds the same network
        """
        free = [first * 2 ** (i + 1) for i in range(len(widths))]
        widest = max(widths, default=first)
        cap = max(usual, widest) if widths == free else widest
        if [min(cap, width) for width in free] != widths:
            self.refuse(f"{prefix}: widths {widths} do not double from {first} up to a cap")
        return cap

    def kernel(self, name: str) -> int | None:
        """The side of a stored anti-alias kernel, by its published name; None where nothing is scaled."""
        shape = self.published.get(name, ())
        return shape[-1] if len(shape) == 4 else None

    def scale(self, name: str) -> float:
        """The scale whose Gaussian has the side of this kernel; 1 without one."""
        side = self.kernel(name)
        if side is None:
            return 1.0
        for power in range(1, 6):
            if kernel_side(0.5**power) == side:
                return 0.5**power
        self.refuse(f"{name} is {side} wide; scales 1/2, 1/4, 1/8, ... give 5, 13, 29, ...")

    def refuse(self, problem: str) -> NoReturn:
        raise FommError(
            f"These are not the shapes of {self.what}: {problem}.",
            "Checkpoints of models that `fomm weights list` does not name cannot be converted.",
        )


def kernel_side(scale: float) -> int:
    """2 round(4 sigma) + 1 with sigma = (1/scale - 1) / 2, as `blocks.AntiAliasDownsample` has it."""
    return 2 * round(4 * (1 / scale - 1) / 2) + 1


def check_scale(scale: float, section: str, kernel: int | None, where: str) -> None:
    """The one thing a stored kernel tells about a given config is its scale: refuse another."""
    if kernel is not None and kernel != kernel_side(scale):
        raise FommError(
            f"{where}: model.{section}.scale_factor is {scale:g} in the config, but the checkpoint's anti-alias kernel "
            f"is {kernel} wide, not {kernel_side(scale)}.",
            "Convert without --config to read the scale from the checkpoint.",
        )


def assuming(model: dict[str, Any], assumed: dict[str, Any]) -> Architecture:
    """What was read of the `model` section, and the dotted keys that were not, as one architecture."""
    tree: dict[str, Any] = {"model": model, "data": {}}
    for key, value in assumed.items():
        *parents, leaf = key.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[leaf] = value
    return Architecture(tree, assumed)

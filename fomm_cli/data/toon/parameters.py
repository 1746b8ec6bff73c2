"""What Identity and Motion share: a bundle of tensors with the same leading axes, indexed and moved together."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch


@dataclass(frozen=True)
class Parameters:
    """Fields are tensors (batch..., width), or (batch...) for a single number. All share the batch axes."""

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        return type(self)(**{f.name: function(getattr(self, f.name)) for f in fields(self)})

    def combine(self, other: Self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Self:
        return type(self)(**{f.name: function(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)})

    def __getitem__(self, index: Any) -> Self:
        """Indexes the batch axes: an int, a slice, a tensor of indices or a tuple of these."""
        return self.map(lambda x: x[index])

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def to(self, device: torch.device | str) -> Self:
        return self.map(lambda x: x.to(device))

    def lerp(self, other: Self, weight: float) -> Self:
        """Halfway people and poses: every parameter is continuous, so anything between two of them is one too."""
        return self.combine(other, lambda a, b: torch.lerp(a, b, weight))


MAX_SEED = 2**31

_GOLDEN = 0x9E3779B97F4A7C15


def _signed(value: int) -> int:
    """The int64 whose bits are those of the unsigned `value`."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """x >> bits as for unsigned numbers (torch's own shift keeps the sign)."""
    return (x >> bits) & (2 ** (64 - bits) - 1)


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def uniform(seed: int, items: torch.Tensor, count: int, stream: int = 0, held_out: bool = False) -> torch.Tensor:
    """`count` numbers for each item.

    seed      0 <= seed < 2**31
    items     (N,) int64, 0 <= item < 2**32
    stream    which of the independent lists that belong to an item
    held_out  the other half of the key space: (seed, item) of one half never shares a key with the other

    returns   (N, count) float32 in (0, 1), on the CPU
    """
    if not 0 <= seed < MAX_SEED:
        raise ValueError(f"seed {seed} is outside 0..{MAX_SEED - 1}")
    # One bit for the half, 31 for the seed and 32 for the item: two different addresses are never one key.
    key = items.to("cpu", torch.int64) + _signed((int(held_out) << 63) | (seed << 32))
    state = _mix(_mix(key) + _signed(_GOLDEN * (stream + 1)))
    steps = torch.arange(1, count + 1, dtype=torch.int64) * _signed(_GOLDEN)
    bits = _shift(_mix(state[:, None] + steps[None]), 41)  # 23 bits: the half step below keeps 0 and 1 out
    return (bits.to(torch.float32) + 0.5) / 2**23


def normal(seed: int, items: torch.Tensor, count: int, stream: int = 0, held_out: bool = False) -> torch.Tensor:
    """As `uniform`, but standard normal: the inverse error function of it."""
    u = uniform(seed, items, count, stream, held_out)
    return torch.erfinv(2 * u - 1) * 2**0.5

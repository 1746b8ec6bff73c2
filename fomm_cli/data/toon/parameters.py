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


def stack(items: list[Any]) -> Any:
    """Joins bundles of the same kind along a new leading axis."""
    first = items[0]
    return type(first)(**{f.name: torch.stack([getattr(i, f.name) for i in items]) for f in fields(first)})

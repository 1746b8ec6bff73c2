"""The seams of every motion model: all of animation, training, evaluation and export goes through them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from fomm_cli.model.config import ModelConfig
from fomm_cli.model.families import family_of
from fomm_cli.model.family import Usual
from fomm_cli.model.types import Rendering


class AnimationModel(nn.Module):
    """A network that moves a source as a driving frame moves. A family derives its own.

    >>> encoded = model.encode(source)                    # once
    >>> pose_source = model.detect(source)
    >>> out = model.render(encoded, pose_source, model.detect(driving))

    size         (H, W) of the frames it was trained at; the network takes others, at its own risk
    output_size  (H, W) of the frames it makes
    motion_size  (h, w) of the flow by which a larger picture of the source can be warped too; None where the family
                 has no such flow, and its `render` takes no taper
    rendered     names of the fields of `encode`'s result that `render` reads: what an export has to carry
    usual        how its authors animate; `load_model` reads it with the weights
    pose_seams   which of `disentangle` and `settle` it has, and the fields of a pose that each reads: for an export
    looked_at    fields of a pose that `render` reads; empty = all there are
    """

    rendered: tuple[str, ...]
    usual: Usual = Usual()
    pose_seams: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    looked_at: tuple[str, ...] = ()

    def __init__(self, config: ModelConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.size = size
        self.output_size = size
        self.motion_size: tuple[int, int] | None = None
        self.family = family_of(config)

    @property
    def disentangles(self) -> bool:
        """Whether it holds the network of mode avd."""
        return "disentangle" in self.pose_seams

    def add(self, part: str) -> None:
        """Give the network one of its family's optional parts, untrained, as a weights file is about to fill it."""
        if getattr(self, part, None) is None:  # some are there because the config says so
            raise ValueError(f"{self.family.name} of this config has no part {part}")

    def detect(self, image: Tensor) -> Any:
        """The poses of images (B, 3, H, W) in [0, 1]."""
        raise NotImplementedError

    def encode(self, source: Tensor) -> Any:
        """Everything that depends on the source (B or 1, 3, H, W) alone: a NamedTuple of tensors and tuples of them."""
        raise NotImplementedError

    def render(
        self,
        encoded: Any,
        pose_source: Any,
        pose_driving: Any,
        background: Tensor | None = None,
        deformed: bool = True,
        taper: Tensor | None = None,
    ) -> Rendering:
        """The source in the pose of `pose_driving`.

        encoded, pose_source  of batch B, or of 1 for one source and B driving frames
        pose_driving          of batch B
        background            what `background` found, (B, 3, 3); None: what lies behind stands still
        deformed              False saves the warped source, a picture to look at only
        taper                 (h, w) in [0, 1], how freely each place moves: see `DenseMotion.tapered`; None: freely
        """
        raise NotImplementedError

    def background(self, source: Tensor, driving: Tensor) -> Tensor | None:
        """How what lies behind moved between two frames of one clip, (B, 3, 3); None where a family does not look.

        For training and reconstruction: another clip's background is not the source's.
        """
        return None

    def disentangle(self, pose_source: Any, pose_driving: Any) -> Any:
        """The driving pose (batch B) had the source (batch 1) taken it, by a network; where `family.modes` has avd."""
        raise NotImplementedError

    def settle(self, pose_source: Any, pose_driving: Any, finish: Any = None) -> Any:
        """The last word on a pose before it is rendered, such as stitching; most families have nothing to say.

        finish   what the family's `finish` tells it; None: as usual
        """
        return pose_driving

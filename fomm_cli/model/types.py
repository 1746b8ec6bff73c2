"""What passes between the parts of the model, and the one legend of shapes.

B       batch: driving frames          K   keypoints
H, W    image size, in pixels          h, w   size of the motion maps (image size times `dense_motion.scale_factor`)
image   (B, 3, H, W), RGB, float in [0, 1]
points  xy in [-1, 1], x right, y down; -1 and 1 are the centres of the corner pixels
flow    for every output pixel the point of the source to look at, in the units of points (a backward warp)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # an exported model animates with numpy arrays in the same tuples, without torch
    from torch import Tensor


class Keypoints(NamedTuple):
    """A pose, without labels: learned points and the local affine frame around each.

    value     (B, K, 2), points
    jacobian  (B, K, 2, 2), row major: columns are where the reference pose's axes go; None in the zero-order model
    """

    value: Tensor
    jacobian: Tensor | None

    def apply(self, function: Any) -> Keypoints:
        """The keypoints with `function` applied to each tensor: slicing, moving, detaching."""
        return Keypoints(function(self.value), None if self.jacobian is None else function(self.jacobian))

    def __repr__(self) -> str:
        return f"Keypoints(value {tuple(self.value.shape)}, jacobian {self.jacobian is not None})"


class DenseMotion(NamedTuple):
    """One flow for the whole picture, chosen between the candidates of all keypoints.

    flow       (B, h, w, 2), points of the source
    occlusion  (B, 1, h, w) in [0, 1]: 1 where the source shows what is needed; None without an occlusion map
    mask       (B, K+1, h, w): the share of each candidate; candidate 0 is the background, sums to 1
    candidates_warped  (B, K+1, 3, h, w): the down-sampled source warped by each candidate
    """

    flow: Tensor
    occlusion: Tensor | None
    mask: Tensor
    candidates_warped: Tensor


class Encoded(NamedTuple):
    """All that depends on the source alone; a batch of 1 serves any number of driving frames.

    image     (B or 1, 3, H, W): the source
    small     (B or 1, 3, h, w): the source, anti-aliased down to the motion maps
    features  (B or 1, C, H / 2^n, W / 2^n): the generator's features before the warp
    """

    image: Tensor
    small: Tensor
    features: Tensor


class Rendering(NamedTuple):
    """A frame and what explains it.

    prediction  (B, 3, H, W) in [0, 1]
    flow        (B, h, w, 2)
    occlusion   (B, 1, h, w) or None
    deformed    (B, 3, H, W): the source itself under the flow; None where it was not asked for
    motion      the whole dense motion
    """

    prediction: Tensor
    flow: Tensor
    occlusion: Tensor | None
    deformed: Tensor | None
    motion: DenseMotion

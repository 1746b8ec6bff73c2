"""Animation via disentanglement for regions: the identity of one pose in the shape of another."""

from __future__ import annotations

import torch
from torch import Tensor

from fomm_cli.model.avd import DisentanglementNetwork
from fomm_cli.model.geometry import inverse_2x2, product_2x2
from fomm_cli.model.regions.config import RegionsConfig
from fomm_cli.model.regions.covariance import squared
from fomm_cli.model.regions.dense import upright_sign
from fomm_cli.model.regions.pose import Regions


class RegionDisentanglement(DisentanglementNetwork):
    """(identity, pose) to the regions of the identity, had it taken the pose.

    A region is six numbers: x, y and its axes, row major; its extent follows from the axes.
    """

    def __init__(self, config: RegionsConfig) -> None:
        super().__init__(6 * config.num_regions, config.avd.id_bottle_size, config.avd.pose_bottle_size)
        self.extent = config.dense_motion.covariance_evidence

    def disentangle(self, identity: Regions, pose: Regions) -> Regions:
        """
        identity  of batch B or 1: the source's regions
        pose      of batch B: the driving's
        """
        assert identity.jacobian is not None
        assert pose.jacobian is not None
        # Axes have no heads: the identity's are turned to the pose's side, whatever the model's own motion does.
        ours = product_2x2(identity.jacobian, inverse_2x2(pose.jacobian))
        facing = identity.jacobian * upright_sign(ours)
        numbers = self(_numbers(identity.value, facing), _numbers(pose.value, pose.jacobian))
        value, jacobian = numbers.unflatten(1, (-1, 6)).split((2, 4), dim=2)
        jacobian = jacobian.unflatten(2, (2, 2))
        return Regions(value, jacobian, squared(jacobian) if self.extent else None)


def _numbers(value: Tensor, jacobian: Tensor) -> Tensor:
    """(B, K, 2) and (B, K, 2, 2) to (B, 6K)."""
    value = value.expand(jacobian.shape[0], -1, -1)
    return torch.cat((value, jacobian.flatten(2)), dim=2).flatten(1)

"""Learning rates: a function of the place in the training, the published ones to the last bit."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import MultiStepLR

from fomm_cli.train.schedule import rate
from fomm_cli.train.state import State
from tests.training import tiny_config


def test_milestones_are_those_of_torch_to_the_last_bit() -> None:
    config = tiny_config(epoch_milestones=[3, 5, 6], num_epochs=8).train
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], 2e-4)
    schedule = MultiStepLR(optimizer, [3, 5, 6], gamma=0.1)
    for epoch in range(8):
        assert rate(2e-4, config, 5 * epoch, epoch, 0.8) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


def test_half_a_cosine_ends_at_nothing() -> None:
    config = tiny_config(schedule="cosine", num_epochs=4).train
    assert rate(1.0, config, 0, 0) == 1
    assert rate(1.0, config, 0, 2) == pytest.approx(0.5)
    assert rate(1.0, config, 0, 1, 0.5) == pytest.approx(0.691342, abs=1e-6)  # (1 + cos(3 pi / 8)) / 2
    falling = [rate(1.0, config, 0, epoch, share / 5) for epoch in range(4) for share in range(5)]
    assert all(one > other > 0 for one, other in pairwise(falling))
    assert rate(1.0, config, 0, 4) == 0


@pytest.mark.parametrize("kind", ["milestones", "cosine"])
def test_a_warm_up_rises_in_even_steps(kind: str) -> None:
    config = tiny_config(schedule=kind, warmup_steps=4, num_epochs=1000).train
    assert [rate(1.0, config, step, 0) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_the_optimisers_step_at_the_rate_of_the_moment() -> None:
    state = State(tiny_config(schedule="cosine", warmup_steps=10, num_epochs=2), torch.device("cpu"), None)
    state.step, state.epoch, state.batch, state.batches = 4, 1, 0, 5
    assert state.rates() == pytest.approx(dict.fromkeys(state.groups, 2e-4 * 0.5 * 0.5))


def test_a_checkpoint_with_schedules_of_torch_goes_on_at_its_rate() -> None:
    """As they were until schedules became a function."""
    state = State(tiny_config(epoch_milestones=[1]), torch.device("cpu"), None)
    saved = state.state_dict()
    schedules = {name: MultiStepLR(optimizer, [1], gamma=0.1) for name, optimizer in state.optimizers.items()}
    saved["schedules"] = {name: schedule.state_dict() for name, schedule in schedules.items()}
    saved["epoch"] = 1
    state.load_state_dict(saved)
    assert set(state.rates().values()) == {2e-4 * 0.1}

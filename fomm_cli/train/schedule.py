"""The learning rate of a step: a function of where the training stands, and of nothing that happened on the way."""

from __future__ import annotations

import math

from fomm_cli.model.config import TrainConfig

DROP = 0.1


def rate(base: float, train: TrainConfig, step: int, epoch: int, share: float = 0.0) -> float:
    """The rate in force.

    base   of the optimiser
    step   updates made so far
    epoch  epochs finished so far
    share  of the present epoch that is done, in [0, 1)

    `milestones`: times 0.1 at each of `epoch_milestones`, as published. `cosine`: times 1/2 (1 + cos(pi t)), t the
    share of the whole training that is done (Loshchilov and Hutter 2017, eq. 5, no restarts). Either rises linearly
    from 1/n of itself over the first n = `warmup_steps` steps.
    """
    if train.schedule == "cosine":
        done = min(1.0, (epoch + share) / train.num_epochs)
        base *= 0.5 * (1 + math.cos(math.pi * done))
    else:
        for milestone in train.epoch_milestones:
            if epoch >= milestone:
                base *= DROP
    return base * (step + 1) / train.warmup_steps if step < train.warmup_steps else base

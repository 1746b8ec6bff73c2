"""A training whose surroundings fail: one line each, and no process left behind."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from fomm_cli.errors import FommError
from fomm_cli.train.batches import _quiet_worker, dismiss, reading
from fomm_cli.train.loop import signals

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Failing(Dataset[torch.Tensor]):
    """Ten numbers, of which the fifth kills its reader, or finds no memory."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == 5 and self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 5 and self.how == "full":
            raise RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")
        if index == 6 and self.how == "full":
            time.sleep(60)  # the other reader hangs, and ignores SIGTERM
        return torch.zeros(1)


@POSIX
@pytest.mark.parametrize(("how", "said"), [("killed", "died"), ("full", "/dev/shm is full")])
def test_a_dead_reader_is_one_line_and_nobody_is_left(how: str, said: str) -> None:
    loader: Any = DataLoader(
        Failing(how),
        num_workers=2,
        worker_init_fn=_quiet_worker,
        persistent_workers=True,
        # The suite's own process has threads of every library by now, with which a fork may not survive.
        multiprocessing_context="forkserver",
    )

    def train() -> None:
        with reading():
            try:
                for _ in loader:
                    pass
            finally:
                workers.extend(loader._iterator._workers)
                dismiss(loader)

    workers: list[Any] = []
    with pytest.raises(FommError, match=said) as caught:
        train()
    assert "--workers 0" in caught.value.hint
    assert len(workers) == 2
    assert not any(worker.is_alive() for worker in workers)


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_that_ask_to_stop_are_heard(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with signals() as told:
        os.kill(os.getpid(), number)
    assert told == [number]
    assert signal.getsignal(number) == before

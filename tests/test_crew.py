"""Parts done side by side: each once, each with its share of the threads, nothing of it seen by anyone else."""

from __future__ import annotations

import threading

import pytest
import torch

from fomm_cli.engine.winograd import each


def test_every_part_is_done_once_with_its_share_of_the_threads(threads: int) -> None:
    met: dict[int, tuple[int, bool, str]] = {}
    both = threading.Barrier(2, timeout=60)  # neither goes on without the other

    def work(part: int) -> None:
        both.wait()
        met[part] = (torch.get_num_threads(), torch.is_inference_mode_enabled(), threading.current_thread().name)

    for _ in range(2):
        each(work, [0, 1])
        assert sorted(met) == [0, 1]
        assert {number for number, _, _ in met.values()} == {max(1, threads // 2)}
        assert all(inference for _, inference, _ in met.values())
        assert len({name for _, _, name in met.values()}) == 2
        met.clear()


def test_nobody_else_gets_other_threads(threads: int) -> None:
    each(lambda part: None, [0, 1])
    found = [torch.get_num_threads()]
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [threads, threads]


def test_a_single_part_is_the_callers() -> None:
    found: list[threading.Thread] = []
    each(lambda part: found.append(threading.current_thread()), [0])
    assert found == [threading.current_thread()]


def test_a_failure_is_raised_when_all_have_ended() -> None:
    done = []

    def work(part: int) -> None:
        if part == 0:
            raise ValueError("part 0")
        done.append(part)

    with pytest.raises(ValueError, match="part 0"):
        each(work, [0, 1, 2])
    assert sorted(done) == [1, 2]
    each(done.append, [3, 4])
    assert sorted(done) == [1, 2, 3, 4]

"""Threads that each do a part of the work from end to end, where the parts need nothing of each other.

Inside an operator torch's threads meet at its end. After each of many small ones that costs as much as they gain, and
what one thread has written, another may read next: slow between cores that share no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def each(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`function(part)` of all parts at once, in inference mode, each with an equal share of torch's threads.

    A single part is the caller's own. Raises what a part raises, after all have ended.
    """

    @torch.inference_mode()
    def run(part: Part) -> Result:
        return function(part)

    if len(parts) == 1:
        return [run(parts[0])]
    crew = _crew(len(parts), max(1, torch.get_num_threads() // len(parts)))
    futures = [crew.submit(run, part) for part in parts]
    wait(futures)
    return [future.result() for future in futures]


@cache
def _crew(size: int, threads: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    started = Barrier(size)

    def begin(_: int) -> None:
        torch.set_num_threads(threads)
        torch.get_num_threads()  # the first question settles a thread's number; until then the last one set holds
        started.wait()

    pool = ThreadPoolExecutor(size, "fomm-crew")
    list(pool.map(begin, range(size)))
    torch.set_num_threads(before)
    return pool

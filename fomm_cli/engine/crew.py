"""Threads that each do a part of the work from end to end, where the parts need nothing of each other.

Inside an operator torch's threads meet at its end. After each of many small ones that costs as much as they gain, and
what one thread has written, another may read next: slow between cores that share no cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

Part = TypeVar("Part")
_GATHERING = Lock()


def each(function: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """`function(part)` for all parts at once, in inference mode, each with an equal share of torch's threads.

    A single part is the caller's own. A part must not call this again. Memory for much is best allocated beforehand, by
    the caller: glibc keeps 64 MB for any other thread, and zeroes what exceeds that anew each time.

    Raises what a part raises, after all have ended.
    """
    if len(parts) == 1:
        function(parts[0])
        return

    @torch.inference_mode()
    def run(part: Part) -> None:
        function(part)

    with _GATHERING:
        crew = _crew(len(parts), max(1, torch.get_num_threads() // len(parts)))
    futures = [crew.submit(run, part) for part in parts]
    wait(futures)
    for future in futures:
        future.result()


@cache
def _crew(size: int, threads: int) -> ThreadPoolExecutor:
    """So many threads, each of which gives operators so many threads."""
    before = torch.get_num_threads()
    all_here = Barrier(size)

    def begin(_: int) -> None:
        # what is set here counts for the process, until a thread asks; what it is told then counts for that thread
        torch.set_num_threads(threads)
        torch.get_num_threads()
        all_here.wait()

    pool = ThreadPoolExecutor(size, "fomm-crew")
    try:
        list(pool.map(begin, range(size)))
    except BaseException:
        all_here.abort()  # or those who came would wait for ever
        raise
    finally:
        torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crew.cache_clear)  # a fork has no threads but one

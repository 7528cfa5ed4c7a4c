"""The same work on many items, on all cores that this process may use.

Threads, because a run of a graph or of PyTorch lets go of Python's lock; each run stays on one thread, as in
the server. Results do not depend on how many there are.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SHARED_FROM_S = 0.002
"""Work on one item below this stays on one thread: threads that ask for Python's lock every few microseconds
are slower than one."""


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` of every item, in their order; the first one decides whether they are shared out.

    Args:
        work: safe to be called from several threads.
        items: taken one at a time, when a thread is free for the next; may be drawn on the way.

    Raises:
        Exception: what `work` raises, of the first item that does; later ones may not have been done.
    """
    source = iter(items)
    results: list[Result] = []
    for first in source:
        began = time.perf_counter()
        results.append(work(first))
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if time.perf_counter() - began >= SHARED_FROM_S and threads > 1:
            return results + _shared(work, source, threads)
    return results


def _shared(work: Callable[[Item], Result], source: Iterator[Item], threads: int) -> list[Result]:
    numbered = enumerate(source)
    turn, stop = threading.Lock(), threading.Event()
    done: dict[int, Result] = {}
    failed: dict[int, BaseException] = {}

    def take() -> tuple[int, Item] | None:
        with turn:
            return None if stop.is_set() else next(numbered, None)

    def keep_on() -> None:
        while (entry := take()) is not None:
            at, item = entry
            try:
                done[at] = work(item)
            except BaseException as error:  # told to the caller below
                failed[at] = error
                stop.set()

    with ThreadPoolExecutor(threads) as pool:
        try:
            for one in [pool.submit(keep_on) for _ in range(threads)]:
                one.result()
        finally:
            stop.set()  # Ctrl-C: the pool waits for what is in work, not for all that is left
    if failed:
        raise failed[min(failed)]
    return [done[at] for at in range(len(done))]

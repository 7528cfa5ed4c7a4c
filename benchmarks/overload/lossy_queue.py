"""The bound that queueing sets to "99 % of all who ask", simulated. Pure, seeded.

One server, Poisson arrivals, known service times, one budget for all, refusals free: whoever cannot be done
in time is lost. The arrivals' own bunching then costs some requests at any rate, whatever the scheduler.
Two rules, both working whenever somebody waits: who comes too late for its place in the line is lost; or the
largest of those who wait goes in its stead, the choice that loses fewest (Moore and Hodgson, 1968).
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ARRIVALS: Final = 60_000
ROUNDS: Final = 12
"""Of bisection: the rate to one part in four thousand."""

Lost = Callable[[NDArray[np.float64], NDArray[np.float64], float], int]


def first_come(gaps_ms: NDArray[np.float64], service_ms: NDArray[np.float64], budget_ms: float) -> int:
    """How many are lost when a newcomer is refused that cannot be done in time.

    Args:
        gaps_ms: float64 [n], before each arrival.
        service_ms: float64 [n].
    """
    lost, work_ms = 0, 0.0
    for gap_ms, need_ms in zip(gaps_ms.tolist(), service_ms.tolist(), strict=True):
        work_ms = max(work_ms - gap_ms, 0.0)
        if work_ms + need_ms > budget_ms:
            lost += 1
        else:
            work_ms += need_ms
    return lost


def fewest(gaps_ms: NDArray[np.float64], service_ms: NDArray[np.float64], budget_ms: float) -> int:
    """How many are lost when the largest that has not begun, the newcomer included, makes room."""
    lost, running_ms = 0, 0.0
    line: deque[float] = deque()
    by_size: list[float] = []
    for gap_ms, need_ms in zip(gaps_ms.tolist(), service_ms.tolist(), strict=True):
        running_ms = _pass(gap_ms, running_ms, line, by_size)
        line.append(need_ms)
        insort(by_size, need_ms)
        if running_ms + sum(line) > budget_ms:
            lost += 1
            line.remove(by_size.pop())
        if running_ms == 0.0 and line:
            running_ms = line.popleft()
            by_size.remove(running_ms)
    return lost


def _pass(gap_ms: float, running_ms: float, line: deque[float], by_size: list[float]) -> float:
    """Let time pass: who is done leaves, who is next begins. Returns what is left of the one begun."""
    while gap_ms >= running_ms and line:
        gap_ms -= running_ms
        running_ms = line.popleft()
        by_size.remove(running_ms)
    return max(running_ms - gap_ms, 0.0)


def largest_rate(
    lost: Lost, sizes_ms: Sequence[float], budget_ms: float, allowed: float = 0.01, seed: int = 0
) -> float:
    """The largest rate per second at which at most `allowed` of the requests are lost.

    Args:
        lost: `first_come` or `fewest`.
        sizes_ms: service times, equally likely.
    """
    rng = np.random.default_rng(seed)
    service_ms = np.asarray(sizes_ms, np.float64)[rng.integers(0, len(sizes_ms), ARRIVALS)]
    gaps = rng.exponential(size=ARRIVALS)
    low, high = 0.0, 1e3 / float(service_ms.mean())
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        kept = lost(gaps * 1e3 / middle, service_ms, budget_ms) <= allowed * ARRIVALS
        low, high = (middle, high) if kept else (low, middle)
    return low

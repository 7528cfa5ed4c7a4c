"""When requests are sent: the whole schedule, computed before the run. Pure and seeded.

Open loop: an arrival never waits for an answer, as a search page's users do not (Schroeder et al., "Open
versus closed", NSDI 2006). Rates scale the same unit-exponential draws, so that two servers, or two rates,
are compared on common random numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]
"""Nanoseconds since the run's start, ascending."""


def poisson(rate_per_s: float, duration_s: float, seed: int) -> Instants:
    """Poisson arrivals over [0, duration_s).

    Raises:
        ValueError: the rate or the duration is not above 0.
    """
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError(f"rate and duration must be above 0, got {rate_per_s}/s for {duration_s} s")
    rng = np.random.default_rng([seed, 0])
    gaps: list[NDArray[np.float64]] = []
    total = 0.0
    while total < duration_s * rate_per_s:
        # In blocks, so that a longer run begins with the shorter one's arrivals.
        gaps.append(rng.exponential(size=1024))
        total += float(gaps[-1].sum())
    at_s = np.cumsum(np.concatenate(gaps)) / rate_per_s
    return (at_s[at_s < duration_s] * 1e9).astype(np.int64)


def picks(count: int, messages: int, seed: int) -> NDArray[np.int64]:
    """Which message each arrival sends: [count], shuffled passes, so that all come equally often (±1)."""
    rng = np.random.default_rng([seed, 1])
    passes = -(-count // messages)
    shuffled = [rng.permutation(messages) for _ in range(passes)]
    return np.concatenate([np.zeros(0, np.int64), *shuffled])[:count]


def shares(count: int, processes: int, seed: int) -> NDArray[np.int64]:
    """Which process sends each arrival: [count]. Random thinning, since it keeps each share Poisson."""
    return np.random.default_rng([seed, 2]).integers(0, processes, count)


def digest(instants: Instants, picked: NDArray[np.int64]) -> str:
    """sha256 of what will be sent and when: equal digests, equal runs."""
    return hashlib.sha256(instants.astype("<i8").tobytes() + picked.astype("<i8").tobytes()).hexdigest()

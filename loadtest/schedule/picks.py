"""Which request goes at each instant: its class, its message, the process that sends it. Pure and seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario.form import Class, Order, Same, Sequential, Shuffle, Unique, Zipf

Picks = NDArray[np.int64]


def classes(count: int, mix: Sequence[Class], rng: np.random.Generator) -> Picks:
    """Class of each arrival: int64 [count], independent draws by weight."""
    weights = np.array([entry.weight for entry in mix])
    return rng.choice(len(mix), count, p=weights / weights.sum())


def messages(count: int, available: int, order: Order, rng: np.random.Generator) -> Picks:
    """Message of each arrival: int64 [count] in [0, available).

    Raises:
        ValueError: `unique` is asked for more than there are.
    """
    match order:
        case Shuffle():
            passes = -(-count // available)
            return np.concatenate(
                [np.zeros(0, np.int64), *(rng.permutation(available) for _ in range(passes))]
            )[:count]
        case Sequential():
            return np.arange(count) % available
        case Same():
            return np.zeros(count, np.int64)
        case Unique():
            if count > available:
                raise ValueError(
                    f"workload.order = unique: {count} requests are planned, the set holds {available}; "
                    "shorten the run or lower the rate"
                )
            return rng.permutation(available)[:count]
        case Zipf(s=s):
            popularity = 1 / np.arange(1, available + 1) ** s
            ranks = rng.choice(available, count, p=popularity / popularity.sum())
            return rng.permutation(available)[ranks]


def processes(count: int, senders: int, rng: np.random.Generator) -> Picks:
    """Sending process of each arrival: int64 [count].

    Random thinning: each share of a Poisson process is one again. Taking turns would give every process
    evenly
    spread sends (Erlang gaps), and the sum of two such streams with jitter is not the process asked for.
    """
    return rng.integers(0, senders, count)

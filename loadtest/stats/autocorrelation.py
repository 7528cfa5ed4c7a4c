"""Requests of one batch or one stall share their fate: how many independent ones they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def lag_one(events: NDArray[np.bool_]) -> float:
    """Correlation of each event with the next one, clipped to [0, 1]; 0 of a constant sequence.

    Negative correlation would promise more information than there are requests: it counts as none.

    Args:
        events: bool [n], in order of time.
    """
    n = len(events)
    total = int(np.count_nonzero(events))
    if total in (0, n):
        return 0.0
    both = int(np.count_nonzero(events[1:] & events[:-1]))
    mean = total / n
    # The sum of (x_i - mean)(x_i+1 - mean), multiplied out: counts instead of float copies.
    first_and_last = int(events[0]) + int(events[-1])
    covariance = both - mean * (2 * total - first_and_last) + (n - 1) * mean * mean
    return min(max(covariance / (n * mean * (1 - mean)), 0.0), 1.0)


def n_effective(n: int, rho: float) -> float:
    """n (1 - rho) / (1 + rho): independent events whose mean is as uncertain (first-order autoregression).

    Args:
        rho: lag-1 autocorrelation; below 0 counts as 0.
    """
    rho = max(rho, 0.0)
    return n * (1 - rho) / (1 + rho)

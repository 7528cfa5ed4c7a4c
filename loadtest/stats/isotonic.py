"""Capacity as an interval: where a violation ratio that only rises with the rate crosses the allowed one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import beta

Steps = Sequence[tuple[float, int, int]]
"""(rate, requests, violations) of each step tried, in any order; a rate may occur more than once."""

CONFIDENCE: Final = 0.95


def crossing(
    steps: Steps, allowed: float, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """The rates between which the violation ratio crosses `allowed`; None = not bounded by what was tried.

    Low is the largest rate whose exact (Clopper-Pearson) upper bound stays within `allowed`, high the
    smallest whose lower bound exceeds it; steps of one rate are pooled. As the true ratio cannot fall with
    the rate, a bound holds for all rates on its side, and both ends are rates that were really tried: nothing
    is read into the gap between them. Where the steps contradict that order, the interval spans all of it.

    Args:
        allowed: share that may violate, in (0, 1).
        confidence: of each bound pair, at one rate.

    Raises:
        ValueError: no steps, a step without requests, or more violations than requests.
    """
    rates, n, violations = _pooled(steps)
    tail = (1 - confidence) / 2
    # The beta form of the bounds has no value at the ends of its range, where they are 0 and 1.
    upper = np.where(violations < n, beta.ppf(1 - tail, violations + 1, np.maximum(n - violations, 1)), 1.0)
    lower = np.where(violations > 0, beta.ppf(tail, np.maximum(violations, 1), n - violations + 1), 0.0)
    low = max(rates[upper <= allowed].tolist(), default=None)
    high = min(rates[lower > allowed].tolist(), default=None)
    if low is not None and high is not None and low > high:
        return high, low
    return low, high


def fit(steps: Steps) -> list[tuple[float, float]]:
    """The most likely violation ratio at each rate tried, given that it never falls: (rate, ratio) ascending.

    Isotonic regression weighted by requests (`scipy.optimize.isotonic_regression`).

    Raises:
        ValueError: as `crossing`.
    """
    rates, n, violations = _pooled(steps)
    ratios = isotonic_regression(violations / n, weights=n).x
    return [(float(rate), float(ratio)) for rate, ratio in zip(rates, ratios, strict=True)]


def estimate(steps: Steps, allowed: float) -> float | None:
    """Where the fitted curve reaches `allowed`, with a straight line between neighbours; None = it does not.

    For drawing: `crossing` is what is known.

    Raises:
        ValueError: as `crossing`.
    """
    curve = fit(steps)
    for (rate, ratio), (next_rate, next_ratio) in itertools.pairwise(curve):
        if ratio <= allowed < next_ratio:
            return rate + (next_rate - rate) * (allowed - ratio) / (next_ratio - ratio)
    return None


def _pooled(steps: Steps) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rates ascending, with the requests and violations of each."""
    if not steps:
        raise ValueError("without a step there is no curve")
    if any(n < 1 or not 0 <= violations <= n for _, n, violations in steps):
        raise ValueError("each step needs a request, and at most as many violations")
    table = np.array(steps, np.float64)
    rates, at = np.unique(table[:, 0], return_inverse=True)
    n, violations = (np.bincount(at, table[:, column]).astype(np.float64) for column in (1, 2))
    return rates, n, violations

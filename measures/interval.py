"""How sure a mean over requests is: bootstrap intervals, and how many requests would decide a gate.

Percentile method: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Requests
are the unit that is resampled: candidates of one request are not independent, requests are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DRAWS_PER_BLOCK = 1 << 21
"""Indices drawn at once: bounds memory at about 32 MiB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2

    def excludes(self, value: float) -> bool:
        """True when `value` lies outside the interval."""
        return value < self.low or value > self.high


def bootstrap_mean(
    values: NDArray[Any], confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean of `values` [n] with a percentile bootstrap interval.

    Raises:
        ValueError: no values, a value that is not finite, or a confidence outside (0, 1).
    """
    column = _checked(values)
    means = _resample((column,), lambda parts: parts[0], confidence, resamples, seed)
    return Interval(float(column.mean()), *means)


def paired_delta(
    values: NDArray[Any],
    reference: NDArray[Any],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """mean(values) - mean(reference) over the same requests [n], resampled as pairs.

    Raises:
        ValueError: as `bootstrap_mean`, or the lengths differ.
    """
    column, base = _checked(values), _checked(reference)
    _same_length(column, base)
    return bootstrap_mean(column - base, confidence, resamples, seed)


def paired_relative_delta(
    values: NDArray[Any],
    reference: NDArray[Any],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """mean(values) / mean(reference) - 1 over the same requests [n], resampled as pairs.

    Raises:
        ValueError: as `bootstrap_mean`, the lengths differ, or the reference has a negative value or none
            above zero: a ratio needs a positive base.
    """
    column, base = _checked(values), _checked(reference)
    _same_length(column, base)
    if base.min() < 0 or base.max() <= 0:
        raise ValueError("a relative delta needs a reference without negative values, and not all zero")

    def ratio(parts: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
        # A resample of a reference that is mostly zeros can be all zeros: it says nothing, so it counts as 0.
        return np.divide(parts[0], parts[1], out=np.ones_like(parts[0]), where=parts[1] > 0) - 1.0

    low, high = _resample((column, base), ratio, confidence, resamples, seed)
    return Interval(float(column.mean() / base.mean() - 1.0), low, high)


def requests_needed(delta: Interval, threshold: float, requests: int) -> int | None:
    """How many requests would make `delta`'s interval lie on one side of `threshold`.

    An interval's half-width shrinks with 1/sqrt(n), so n * (half_width / |mean - threshold|)² requests would
    just do, were the mean to stay where it is; never fewer than were used.

    Args:
        delta: from `requests` requests.
        threshold: where a gate turns, in `delta`'s unit.
        requests: how many it was measured on, >= 1.

    Returns:
        None when the mean lies exactly on the threshold: no number of requests would decide it.
    """
    if requests < 1:
        raise ValueError(f"requests must be >= 1, got {requests}")
    distance = abs(delta.mean - threshold)
    if distance == 0:
        return None
    return max(requests, math.ceil(requests * (delta.half_width / distance) ** 2))


def _resample(
    columns: tuple[NDArray[np.float64], ...],
    statistic: Callable[[tuple[NDArray[np.float64], ...]], NDArray[np.float64]],
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Percentile interval of `statistic` over resampled column means."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be >= 1, got {resamples}")
    n = len(columns[0])
    rng = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    rows = max(1, _DRAWS_PER_BLOCK // n)
    for at in range(0, resamples, rows):
        pick = rng.integers(0, n, size=(min(rows, resamples - at), n), dtype=np.int32)
        drawn[at : at + rows] = statistic(tuple(column[pick].mean(axis=1) for column in columns))
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _checked(values: NDArray[Any]) -> NDArray[np.float64]:
    column = np.asarray(values, np.float64)
    if column.ndim != 1 or len(column) == 0:
        raise ValueError(f"a bootstrap needs a one-dimensional, non-empty array, got shape {column.shape}")
    if not np.isfinite(column).all():
        raise ValueError("a bootstrap needs finite values: leave out requests that have no measure")
    return column


def _same_length(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    if len(a) != len(b):
        raise ValueError(f"paired arrays must have one length, got {len(a)} and {len(b)}")

"""Was it one state? How much of the beginning to discard, and whether the rest drifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr, theilslopes

BATCH: Final = 5
_POINTS_MAX: Final = 1024
"""Theil-Sen looks at all pairs: longer series are averaged down to so many points first."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether a series moves with time.

    Attributes:
        rho: Spearman's rank correlation with time.
        p_value: two-sided, of no correlation.
        change: Theil-Sen slope times the series' length: from its beginning to its end, in its own unit.
    """

    rho: float
    p_value: float
    change: float


def mser5(values: NDArray[np.float64]) -> int:
    """How many leading values belong to the warm-up: MSER-5.

    Of the means of batches of 5, the truncation that leaves the smallest squared standard error of the mean
    (White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics", WSC 2000), among those
    that discard at most the first half.

    Args:
        values: finite float [windows].

    Returns:
        A multiple of 5, at most len(values) / 2; 0 with fewer than 4 batches, which can show no warm-up.

    Raises:
        ValueError: a value is not finite.
    """
    _finite(values)
    batches = len(values) // BATCH
    if batches < 4:
        return 0
    means = values[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    # Sums from each batch to the end; centred first, so that their difference of squares keeps its digits.
    centred = means - means.mean()
    left = np.arange(batches, 0, -1)
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(np.square(centred)[::-1])[::-1]
    errors = (squares - np.square(sums) / left) / np.square(left)
    return BATCH * int(np.argmin(errors[: batches // 2 + 1]))


def trend(values: NDArray[np.float64]) -> Trend:
    """Spearman correlation with time and Theil-Sen change of a series.

    A constant series, or one of fewer than three values, has no trend (p = 1).

    Args:
        values: finite float [windows], in order of time.

    Raises:
        ValueError: a value is not finite.
    """
    _finite(values)
    n = len(values)
    if n < 3 or np.ptp(values) == 0:
        return Trend(0.0, 1.0, 0.0)
    rho, p_value = spearmanr(np.arange(n), values)
    points = values
    if n > _POINTS_MAX:
        width = -(-n // _POINTS_MAX)
        points = values[: n // width * width].reshape(-1, width).mean(axis=1)
    slope = theilslopes(points).slope
    return Trend(float(rho), float(p_value), float(slope) * (len(points) - 1))


def _finite(values: NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise ValueError("a trend needs finite values: clip what never came")

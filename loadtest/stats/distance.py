"""How far two samples' distributions lie apart."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_VALUES: Final = 1 << 19
"""Looked at at once: bounds memory."""


def ks_distance(a: NDArray[Any], b: NDArray[Any], tolerance: float = 0) -> float:
    """Kolmogorov-Smirnov distance: largest difference of the two empirical distribution functions, in [0, 1].

    The distance only, without the p-value: of a million gaps any difference is significant, few matter. A
    difference that is gone when one sample is moved by `tolerance` does not count: max over x of
    F_a(x) - F_b(x + tolerance), and the other way round. So equal values and the same with noise are alike.

    Raises:
        ValueError: a sample is empty.
    """
    if len(a) == 0 or len(b) == 0:
        raise ValueError("an empty sample has no distribution")
    a, b = np.sort(a), np.sort(b)
    return max(_above(a, b, tolerance), _above(b, a, tolerance))


def _above(a: NDArray[Any], b: NDArray[Any], tolerance: float) -> float:
    """max over x of F_a(x) - F_b(x + tolerance), of ascending samples; it is reached at one of a's values."""
    largest = 0.0
    for first in range(0, len(a), _VALUES):
        at = a[first : first + _VALUES]
        below_a = np.searchsorted(a, at, side="right") / len(a)
        below_b = np.searchsorted(b, at + tolerance, side="right") / len(b)
        largest = max(largest, float((below_a - below_b).max()))
    return largest

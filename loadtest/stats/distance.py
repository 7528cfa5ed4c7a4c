"""How far two samples' distributions lie apart."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_VALUES: Final = 1 << 19
"""Looked at at once: bounds memory."""


def ks_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov distance: largest difference of the two empirical distribution functions, in [0, 1].

    The distance only, without the p-value: of a million gaps any difference is significant, few matter.

    Raises:
        ValueError: a sample is empty.
    """
    if len(a) == 0 or len(b) == 0:
        raise ValueError("an empty sample has no distribution")
    a, b = np.sort(a), np.sort(b)
    largest = 0.0
    for sample in (a, b):
        for first in range(0, len(sample), _VALUES):
            at = sample[first : first + _VALUES]
            below_a = np.searchsorted(a, at, side="right") / len(a)
            below_b = np.searchsorted(b, at, side="right") / len(b)
            largest = max(largest, float(np.abs(below_a - below_b).max()))
    return largest

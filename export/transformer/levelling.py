"""Levelling (SmoothQuant, Xiao et al., arXiv 2211.10438): a product's input columns are divided by factors,
and its weight's rows multiplied by them, so that one step size serves small and large columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.spec import Array
from export.transformer.ranges import Columns

ALPHA = 0.8
"""How much of the unevenness moves into the weights."""
LEVEL_MIN = 1.05
"""Factors within this of one another change nothing and are not written."""


def factors_of(columns: Columns, weights: Sequence[Array]) -> Array | None:
    """Factors s_j = reach_j^0.8 / weight_j^0.2, with geometric mean 1.

    Args:
        columns: ranges of the products' common input.
        weights: float32 [K, N] of each product that reads it; they must share the factors.

    Returns:
        float32 [K]; None when the columns are level already.
    """
    reach = columns.reach
    strength = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    live = (reach > 0) & (strength > 0)
    if not live.any():
        return None
    factors = np.ones(len(reach), np.float32)
    factors[live] = reach[live] ** ALPHA / strength[live] ** (1 - ALPHA)
    factors[live] /= np.exp(np.log(factors[live]).mean())
    return factors if factors.max() > LEVEL_MIN * factors.min() else None

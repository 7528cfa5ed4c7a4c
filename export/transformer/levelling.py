"""Levelling (SmoothQuant, Xiao et al., arXiv 2211.10438): a product's input columns are divided by factors,
and its weight's rows multiplied by them, so that one step size serves small and large columns.

SmoothQuant takes the factors from the columns' reach and a constant. Here they are those with the least error
of the product, as far as rounding errors can be foreseen: independent, of variance step^2 / 12. With columns
of energy e_k (mean square), weight rows of squared norm w_k and factors m_k that error is

    step(m)^2 / 12 * sum_k w_k m_k^2  +  sum_n step_n(m)^2 / 12 * sum_k e_k / m_k^2

with x's step from the widest column, reach_k / m_k, and the weights' steps from the largest element of each
of their columns. For given steps the least is at m_k ~ (e_k / w_k)^(1/4); a few columns that reach too far
are then raised to the width that costs least.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.spec import Array
from export.transformer.ranges import Columns

WIDTHS = 0.9 ** np.arange(30)
"""Widths of the widest column that are tried, beside that of the unraised factors."""
LEVEL_MIN = 1.05
"""Factors within this of one another change nothing and are not written."""


def factors_of(columns: Columns, weights: Sequence[Array]) -> Array | None:
    """The factors with the least foreseen error, geometric mean 1.

    Args:
        columns: of the products' common input.
        weights: float32 [K, N] of each product that reads it; they must share the factors.

    Returns:
        float32 [K]; None when the columns are level already.
    """
    energy = columns.squares / max(columns.rows, 1)
    norms = sum(np.square(weight, dtype=np.float64).sum(axis=1) for weight in weights)
    live = (energy > 0) & (norms > 0)
    if not live.any():
        return None
    even = np.ones(len(energy))
    even[live] = (energy[live] / norms[live]) ** 0.25
    width = columns.reach / even
    tried = [
        np.where(live, np.maximum(even, columns.reach / (width[live].max() * part)), 1.0) for part in WIDTHS
    ]
    best = min(tried, key=lambda factors: foreseen_error(columns, weights, factors))
    best /= np.exp(np.log(best[live]).mean())
    best[~live] = 1.0
    return best.astype(np.float32) if best[live].max() > LEVEL_MIN * best[live].min() else None


def foreseen_error(columns: Columns, weights: Sequence[Array], factors: Array) -> float:
    """Mean square of the products' error, summed over their columns, with uint8 inputs and int8 weights."""
    low, high = (columns.low / factors).min(), (columns.high / factors).max()
    step = (max(high, 0.0) - min(low, 0.0)) / 255
    energy = (columns.squares / max(columns.rows, 1) / factors**2).sum()
    error = 0.0
    for weight in weights:
        scaled = weight * factors[:, None]
        steps = np.abs(scaled).max(axis=0) / 127
        error += step**2 * np.square(scaled).sum() + np.square(steps).sum() * energy
    return float(error / 12)

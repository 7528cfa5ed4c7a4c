"""Rounding a weight so that the errors of its rows cancel on real inputs, not so that each is least (GPTQ,
Frantar et al., arXiv 2210.17323).

Rows of W [K, N] are rounded one after another, the strongest input column first; what a row lost is made up
for by the rows that are still to come, as far as their inputs vary together. That takes E = sum of x x^T over
calibration tokens. GPTQ damps E by a hundredth of its diagonal; here the damping is known: x itself will be
rounded to steps of `scale`, which adds noise of variance scale^2 / 12 to each of its columns.
"""

from __future__ import annotations

import numpy as np

from export.calibrate import quantize_weight
from export.spec import Array

ROWS_AT_ONCE = 128
"""The rows behind a block are corrected once per block: products of matrices instead of outer products."""
SINGULAR = 1e-6
"""Of the mean diagonal, added to all of it: columns that never vary would leave no inverse."""


def round_weight(weight: Array, products: Array, rows: int, scale: float) -> tuple[Array, Array]:
    """Quantise a weight for inputs like those seen.

    Args:
        weight: float32 [K, N], of a product x W whose columns of x are levelled already.
        products: float64 [K, K], sum of x x^T over `rows` rows of x.
        rows: rows that were seen.
        scale: step of x's uint8 codes.

    Returns:
        int8 codes with float32 scales; the scales are those of rounding to nearest.
    """
    nearest, scales = quantize_weight(weight)
    order = np.argsort(-np.diag(products), kind="stable")
    inputs = products[np.ix_(order, order)]
    inputs[np.diag_indices_from(inputs)] += rows * scale**2 / 12 + SINGULAR * np.diag(inputs).mean()
    if not np.diag(inputs).min() > 0.0:
        return nearest, scales  # nothing was seen
    # Row k's share of its loss that row j > k takes over is upper[k, j] / upper[k, k].
    upper = np.linalg.cholesky(np.linalg.inv(inputs)).T
    left = weight.astype(np.float64)[order]
    codes = np.zeros_like(left)
    for start in range(0, len(left), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(left))
        lost = np.zeros((stop - start, left.shape[1]))
        for row in range(start, stop):
            codes[row] = np.clip(np.rint(left[row] / scales), -127, 127)
            lost[row - start] = (left[row] - codes[row] * scales) / upper[row, row]
            left[row + 1 : stop] -= np.outer(upper[row, row + 1 : stop], lost[row - start])
        left[stop:] -= upper[start:stop, stop:].T @ lost
    placed = np.zeros(weight.shape, np.int8)
    placed[order] = codes.astype(np.int8)
    return placed, scales

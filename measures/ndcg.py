"""Normalised discounted cumulative gain.

Gain 2^grade - 1, discount log2(rank + 1), as in Burges et al., "Learning to Rank using Gradient Descent"
(ICML 2005), section 6, after Järvelin and Kekäläinen (TOIS 2002).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def dcg(labels: NDArray[Any], order: NDArray[Any], k: int = 10) -> float:
    """Discounted cumulative gain of the first `k` of `order`.

    Args:
        labels: graded relevance [N], >= 0.
        order: candidate indices, best first.
        k: ranks counted, >= 1.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    top = labels[order[:k]].astype(np.float64)
    return float(np.sum((np.exp2(top) - 1.0) / np.log2(np.arange(2, len(top) + 2))))


def ndcg(labels: NDArray[Any], order: NDArray[Any], k: int = 10) -> float:
    """DCG of `order` over the best possible DCG, in [0, 1].

    Args:
        labels: graded relevance [N], >= 0, in candidate order.
        order: candidate indices, best first (as from `measures.order.rank_order`).
        k: ranks counted, >= 1.

    Returns:
        NaN when no candidate is relevant: such a request says nothing about an order, and counting it as 0 or
        1 would move the mean by how many of them there are.
    """
    best = dcg(labels, np.argsort(-labels.astype(np.float64), kind="stable"), k)
    return dcg(labels, order, k) / best if best > 0 else float("nan")

"""Mean reciprocal rank (Voorhees, "The TREC-8 Question Answering Track Report", 1999)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def reciprocal_rank(labels: NDArray[Any], order: NDArray[Any], k: int | None = None) -> float:
    """1 / rank of the first relevant candidate (label > 0); 0 when none is among the first `k`.

    Args:
        labels: graded relevance [N], in candidate order.
        order: candidate indices, best first.
        k: ranks looked at; None = all.

    Returns:
        NaN when no candidate at all is relevant.
    """
    if not np.any(labels > 0):
        return float("nan")
    hits = np.flatnonzero(labels[order[:k]] > 0)
    return 1.0 / float(hits[0] + 1) if len(hits) else 0.0


def mrr(reciprocal_ranks: Iterable[float]) -> float:
    """Mean of reciprocal ranks over the requests that have a relevant candidate (NaN when none has)."""
    values = np.fromiter(reciprocal_ranks, np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")

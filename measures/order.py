"""The one rule that turns scores into an order.

A scored candidate never ranks behind an unscored one: scored first by score, the rest by prior; ties by
prior, then by index. Rule: whoever needs an order (server, gates, reports) takes it from here, so that
an offline figure and an answer on the wire can never disagree. This is on the server's hot path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rank_order(
    scores: NDArray[Any], prior: NDArray[Any] | None = None, scored: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return candidate indices, best first.

    Args:
        scores: float [N], higher is better; NaN = not scored.
        prior: finite float [N], higher is better; None = the order given is the prior.
        scored: bool [N]; False = not scored, whatever `scores` says there. None = what is not NaN.

    Returns:
        int64 [N], a permutation of 0..N-1.

    Raises:
        ValueError: the arrays are not all one-dimensional and of one length.
    """
    if scores.ndim != 1 or any(
        other is not None and other.shape != scores.shape for other in (prior, scored)
    ):
        raise ValueError("scores, prior and scored must be one-dimensional and of one length")
    # numpy sorts NaN behind every number, and a stable sort keeps equal keys, NaNs among them, in the order
    # in which they came: so one sort over candidates already in prior order is the whole rule.
    key = _descending(scores)
    if scored is not None:
        key[~scored] = np.nan
    order = key.argsort(kind="stable")
    if prior is not None:
        ranked = key[order]
        # Without ties (a NaN is never greater) the prior cannot matter, and its sort is most of the work.
        if not (ranked[1:] > ranked[:-1]).all():
            by_prior = _descending(prior).argsort(kind="stable")
            order = by_prior[key[by_prior].argsort(kind="stable")]
    return order.astype(np.int64, copy=False)


def _descending(values: NDArray[Any]) -> NDArray[Any]:
    """A new array that sorts ascending as `values` sorts descending."""
    descending: NDArray[Any] = np.negative(
        values, dtype=values.dtype if values.dtype.kind == "f" else np.float64
    )
    return descending

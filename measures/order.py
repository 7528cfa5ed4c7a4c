"""The one rule that turns scores into an order.

A scored candidate never ranks behind an unscored one: scored first by score, the rest by prior; ties by
prior, then by index. Rule: whoever needs an order (server, gates, reports) takes it from here, so that
an offline figure and an answer on the wire can never disagree. This is on the server's hot path.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_STABLE_MAX: Final = 200
"""Elements; up to here a stable sort alone is faster than an unstable one and a look for ties."""


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
    shape = scores.shape
    if (
        len(shape) != 1
        or (prior is not None and prior.shape != shape)
        or (scored is not None and scored.shape != shape)
    ):
        raise ValueError("scores, prior and scored must be one-dimensional and of one length")
    if scored is None and (prior is not None or len(scores) > _STABLE_MAX):
        # Scores that all differ have one order, whatever the sort and the prior. NaN is never greater.
        ascending = scores.argsort()
        ranked = scores[ascending]
        if np.count_nonzero(ranked[1:] > ranked[:-1]) == len(scores) - 1:
            return ascending[::-1]
    # numpy sorts NaN behind every number, and a stable sort keeps equal keys, NaNs among them, in the order
    # in which they came: so one sort over candidates already in prior order is the whole rule.
    key = _descending(scores)
    if scored is not None:
        key[~scored] = np.nan
    if prior is None:
        return key.argsort(kind="stable")
    by_prior = _descending(prior).argsort(kind="stable")
    order: NDArray[np.int64] = by_prior[key[by_prior].argsort(kind="stable")]
    return order


def _descending(values: NDArray[Any]) -> NDArray[Any]:
    """A new array that sorts ascending as `values` sorts descending."""
    descending: NDArray[Any] = np.negative(
        values, dtype=values.dtype if values.dtype.kind == "f" else np.float64
    )
    return descending

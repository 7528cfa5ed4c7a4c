"""Truths with known contents, for messages of four candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loadtest.records import TOP
from loadtest.truth import Truth


def tops(*orders: Sequence[int]) -> np.ndarray:
    """int16 [orders, TOP], -1 behind what is given."""
    found = np.full((len(orders), TOP), -1, np.int16)
    for row, order in zip(found, orders, strict=True):
        row[: len(order)] = order
    return found


def truth(
    labels: Sequence[Sequence[float]],
    prior: Sequence[int] = (3, 2, 1, 0),
    alone: Sequence[int] = (0, 1, 2, 3),
    against: Sequence[int] = (0, 1, 2, 3),
    asked: Sequence[bool] | None = None,
) -> Truth:
    """One message per list of four labels, with the same orders for each; idle scores 4, 3, 2, 1."""
    count = len(labels)
    known = np.array([True] * count if asked is None else asked)
    scores = np.tile(np.array([4, 3, 2, 1], np.float32), count)
    scores[~np.repeat(known, 4)] = np.nan
    return Truth(
        labels=np.array(labels, np.float32).ravel(),
        offsets=np.arange(0, 4 * count + 1, 4),
        prior_top=tops(*[prior] * count),
        alone_top=np.where(known[:, None], tops(*[alone] * count), -1).astype(np.int16),
        against_top=np.where(known[:, None], tops(*[against] * count), -1).astype(np.int16),
        asked=known,
        alone_scores=scores,
    )

"""The two tasks on one set of ratings: what was watched, and whether a watched movie was liked.

`watch` is known of every candidate. `like` is known of watched ones only: what people think of a movie that
they never saw, nobody knows, and its label is NaN. So the second head is P(like | watch).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.movies.histories import HISTORY_MAX
from examples.movies.protocol import Protocol
from examples.ratings import Dataset, Ratings

WATCH, LIKE = "watch", "like"
LIKED_FROM = 8.0
"""A rating of so many of ten points, or more, is a like."""


def rated(
    train: Ratings, first: NDArray[np.int64], end: NDArray[np.int64], longest: int = HISTORY_MAX
) -> NDArray[np.float32]:
    """The ratings that belong to `examples.movies.histories.padded` with the same arguments.

    Returns:
        float32 [B, longest], padded with 0.
    """
    length = np.minimum(end - first, longest)
    at = (end - length)[:, None] + np.arange(longest)
    is_real = np.arange(longest) < length[:, None]
    return np.where(is_real, train.rating[np.where(is_real, at, 0)], np.float32(0.0))


def held_ratings(dataset: Dataset, protocol: Protocol) -> NDArray[np.float32]:
    """What the test's users gave to their held-out items, float32 [T]."""
    rows = dataset.catalogue.rows(dataset.ratings.item)
    key = dataset.ratings.user * len(dataset.catalogue) + rows
    order = np.argsort(key, kind="stable")
    wanted = protocol.test.user * len(dataset.catalogue) + protocol.test.held
    # The last of equal keys: a movie rated twice was held out with its last rating.
    at = np.searchsorted(key[order], wanted, side="right") - 1
    return dataset.ratings.rating[order[at]]


def head_labels(watched: NDArray[np.bool_], rating: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Labels of one request's candidates.

    Args:
        watched: [N].
        rating: of the watched ones, float32 broadcastable to [N].
    """
    liked = np.where(rating >= LIKED_FROM, np.float32(1.0), np.float32(0.0))
    return {
        WATCH: watched.astype(np.float32),
        LIKE: np.where(watched, liked, np.float32(np.nan)).astype(np.float32),
    }

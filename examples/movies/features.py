"""The three numbers a caller sends about a movie: year, log_ratings, mean_rating.

Rule: counted from training ratings only; a training rating that is itself the target is taken out first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.ratings import Catalogue, Ratings

COLUMNS = ("year", "log_ratings", "mean_rating")
_SHRINKAGE = 5.0
"""Ratings at the overall mean that every movie starts with, so that one rating of 10 makes no best movie."""


class Features:
    """Features by catalogue row."""

    def __init__(self, train: Ratings, catalogue: Catalogue) -> None:
        rows = len(catalogue)
        self._year = catalogue.years()
        self._count = np.bincount(train.item, minlength=rows).astype(np.float32)
        self._sum = np.bincount(train.item, weights=train.rating, minlength=rows).astype(np.float32)
        self._overall = float(train.rating.mean())

    def of(
        self, rows: NDArray[np.int64], own_rating: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Features of catalogue rows, float32 [..., 3] in the order of COLUMNS.

        Args:
            rows: int64 [...].
            own_rating: float32 [...]: the rating to take out where the row is a training target, else NaN.
        """
        count, total = self._count[rows], self._sum[rows]
        if own_rating is not None:
            is_own = ~np.isnan(own_rating)
            count = count - is_own
            total = total - np.where(is_own, own_rating, 0.0)
        mean = (total + _SHRINKAGE * self._overall) / (count + _SHRINKAGE)
        return np.stack([self._year[rows], np.log1p(count), mean], axis=-1).astype(np.float32)

"""The three numbers about a movie against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from examples.movies.features import COLUMNS, Features
from examples.ratings import Catalogue, Ratings

CATALOGUE = Catalogue.of({1: ("A (1990)", ()), 2: ("B (2010)", ())})
# Item 1 got 8 and 10, item 2 got 3: the overall mean is 7.
TRAIN = Ratings.in_order(np.array([1, 1, 2]), np.array([1, 2, 1]), np.array([8, 3, 10]), np.array([1, 2, 1]))


def test_features_by_hand() -> None:
    """year, log(1 + 2 ratings), (18 + 5 * 7) / (2 + 5)."""
    assert ("year", "log_ratings", "mean_rating") == COLUMNS
    assert [1990.0, math.log(3), 53 / 7] == pytest.approx(
        Features(TRAIN, CATALOGUE).of(np.array([1]))[0].tolist()
    )


def test_a_target_leaves_its_own_rating_out() -> None:
    """Without the 10, item 1 has one rating of 8; item 2, no target, is untouched."""
    found = Features(TRAIN, CATALOGUE).of(np.array([1, 2]), np.array([10.0, np.nan], np.float32))

    assert [1990.0, math.log(2), 43 / 6] == pytest.approx(found[0].tolist())
    assert [2010.0, math.log(2), 38 / 6] == pytest.approx(found[1].tolist())


def test_an_unknown_movie_has_features() -> None:
    """The unknown row has the median year, no ratings and the overall mean."""
    assert [2000.0, 0.0, 7.0] == pytest.approx(Features(TRAIN, CATALOGUE).of(np.array([0]))[0].tolist())

"""The schema that real and simulated data share."""

from __future__ import annotations

import numpy as np
import pytest

from examples.ratings import UNKNOWN_ROW, Catalogue, Ratings


def test_ratings_are_ordered_by_user_then_time_then_arrival() -> None:
    """Equal times of one user keep the order of the file."""
    ratings = Ratings.in_order(
        np.array([2, 1, 2, 2]), np.array([10, 11, 12, 13]), np.zeros(4), np.array([5, 9, 3, 5])
    )

    assert [11, 12, 10, 13] == ratings.item.tolist()


def test_ids_become_rows_and_unknown_ids_row_zero() -> None:
    """Rows follow ascending ids behind the unknown row; ids below, between and above are unknown."""
    catalogue = Catalogue.of({7: ("B (2001)", ("x",)), 3: ("A (1999)", ())})

    assert [0, 3, 7] == catalogue.keys.tolist()
    assert [1, UNKNOWN_ROW, 2, UNKNOWN_ROW, UNKNOWN_ROW] == catalogue.rows(
        np.array([3, 5, 7, 99, -4])
    ).tolist()


def test_a_title_without_a_year_takes_the_median() -> None:
    """Years come from the title's end; (1984) in the middle of a title is no year."""
    catalogue = Catalogue.of({1: ("A (2000)", ()), 2: ("B (2010)", ()), 3: ("(1984) C", ())})

    assert [2005.0, 2000.0, 2010.0, 2005.0] == catalogue.years().tolist()


def test_an_id_that_could_be_the_unknown_key_is_refused() -> None:
    """Zero is the unknown row's key, so it cannot be an item."""
    with pytest.raises(ValueError, match="must be positive"):
        Catalogue.of({0: ("A", ())})

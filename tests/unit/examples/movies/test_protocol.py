"""The evaluation protocol: who is held out, against what, that it repeats, and that nothing leaks."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from examples.movies.histories import padded
from examples.movies.protocol import NEGATIVES, RATINGS_MIN, Protocol, split
from examples.ratings import Catalogue, Dataset, Ratings

REAL_SHA256 = "58a1df6bc9b9eb1e8eaacc8ad5fd2aaa7953542a6adde0928549d17d986eb961"
"""Of the real test's candidates, little-endian int64: a change of protocol must be meant."""


def test_the_real_test_is_the_same_bit_for_bit(real: Dataset) -> None:
    """4,469 requests whose candidates hash to the known digest."""
    test = split(real).test

    assert 4_469 == len(test)
    assert REAL_SHA256 == hashlib.sha256(test.candidates.astype("<i8").tobytes()).hexdigest()


def test_the_same_seed_repeats_and_another_differs(small: Dataset, small_protocol: Protocol) -> None:
    """Candidates depend on the seed alone."""
    assert np.array_equal(small_protocol.test.candidates, split(small).test.candidates)
    assert not np.array_equal(small_protocol.test.candidates, split(small, seed=1).test.candidates)


def test_no_training_rating_of_a_test_user_is_later_than_the_held_out_one(small_protocol: Protocol) -> None:
    """Every rating of a test user's context has a time at or before the held-out rating's."""
    test, train = small_protocol.test, small_protocol.train
    latest = np.array([train.unix_s[a:b].max() for a, b in zip(test.first, test.end, strict=True)])

    assert (latest <= test.unix_s).all()


def test_the_held_out_rating_is_nowhere_in_training(small_protocol: Protocol) -> None:
    """No training rating pairs a test user with the held-out item."""
    test, train = small_protocol.test, small_protocol.train
    trained = set(zip(train.user.tolist(), train.item.tolist(), strict=True))

    assert not trained & set(zip(test.user.tolist(), test.held.tolist(), strict=True))


def test_training_and_held_out_are_all_ratings(small: Dataset, small_protocol: Protocol) -> None:
    """Only the last rating of users with at least RATINGS_MIN leaves the training data."""
    per_user = np.unique(small.ratings.user, return_counts=True)[1]

    assert len(small.ratings) - (per_user >= RATINGS_MIN).sum() == len(small_protocol.train)


def test_the_context_ends_before_the_held_out_item(small_protocol: Protocol) -> None:
    """A test history never contains what it is asked for."""
    test = small_protocol.test
    history, _ = padded(small_protocol.train, test.first, test.end)

    assert not (history == test.held[:, None]).any()


def test_negatives_are_unseen_known_and_different(small_protocol: Protocol) -> None:
    """The 99 others are distinct, have training ratings, and are none of the user's training items."""
    test, train = small_protocol.test, small_protocol.train

    assert (NEGATIVES + 1) == min(len(set(row)) for row in test.candidates.tolist())
    assert 0 < small_protocol.counts[test.candidates].min()
    for row in range(len(test)):
        assert not np.isin(test.candidates[row], train.item[test.first[row] : test.end[row]]).any()


def test_the_place_of_the_held_out_item_says_nothing(small_protocol: Protocol) -> None:
    """It is where `place` says, and places average to the middle within 4 standard errors."""
    test = small_protocol.test
    error = np.sqrt((100**2 - 1) / 12 / len(test))

    assert np.array_equal(test.held, test.candidates[np.arange(len(test)), test.place])
    assert abs(test.place.mean() - 49.5) < 4 * error


def test_a_catalogue_too_small_for_the_protocol_is_refused() -> None:
    """Users who have seen all 50 items cannot be given 99 unseen ones; the draw ends."""
    items = np.arange(1, 51)
    times = np.concatenate([items, -items])
    ratings = Ratings.in_order(np.repeat([1, 2], 50), np.tile(items, 2), np.ones(100), times)
    dataset = Dataset(ratings, Catalogue.of({int(i): ("t", ()) for i in items}), "a test")

    with pytest.raises(ValueError, match="too small"):
        split(dataset)

"""Popularity and co-occurrence against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from examples.movies.baselines import ITEMS_MAX, RECENT, CoOccurrence, popularity
from examples.ratings import Ratings

# User 1 rated 1 2 3, user 2 rated 1 2, user 3 rated 2 4.
TRAIN = Ratings.in_order(
    np.array([1, 1, 1, 2, 2, 3, 3]),
    np.array([1, 2, 3, 1, 2, 2, 4]),
    np.ones(7),
    np.array([1, 2, 3, 1, 2, 1, 2]),
)


def _score(history: list[int], candidates: list[int], own: list[bool] | None = None) -> list[float]:
    padded = np.array([history + [0] * (RECENT + 5 - len(history))])
    is_own = None if own is None else np.array([own])
    together = CoOccurrence(TRAIN, rows=6)
    return together.score(padded, np.array([len(history)]), np.array([candidates]), is_own)[0].tolist()


def test_popularity_is_the_training_count() -> None:
    """Counts are looked up by row."""
    assert [[0.0, 3.0]] == popularity(np.array([0, 2, 3]), np.array([[0, 2]])).tolist()


def test_co_occurrence_is_a_sum_of_cosines() -> None:
    """n(1,2) = 2 of counts 2 and 3; n(1,3) = 1 of 2 and 1; n(1,4) = 0."""
    assert [2 / 6**0.5, 1 / 2**0.5, 0.0] == pytest.approx(_score([1], [2, 3, 4]))
    assert [1 / 2**0.5 + 1 / 3**0.5] == pytest.approx(_score([1, 2], [3]))


def test_an_own_rating_is_taken_out() -> None:
    """As user 1's own target, item 2 keeps user 2's pair with item 1 and the counts 2 and 2."""
    assert [1 / 4**0.5] == pytest.approx(_score([1], [2], own=[True]))


def test_an_own_rating_that_nobody_shares_scores_nothing() -> None:
    """As user 1's own target, item 3 was never seen with anything."""
    assert [0.0] == _score([1, 2], [3], own=[True])


def test_an_empty_history_and_unknown_items_score_nothing() -> None:
    """No history, the unknown row and a row without ratings give 0."""
    assert [0.0, 0.0] == _score([], [1, 2])
    assert [0.0, 0.0] == _score([1], [0, 5])
    assert [0.0] == _score([0], [2])


def test_only_recent_items_count() -> None:
    """What lies further back than RECENT items adds nothing."""
    assert [0.0] == _score([1] + [4] * RECENT, [3])


def test_blocks_do_not_change_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scored one request at a time, the scores are those of all at once."""
    together = CoOccurrence(TRAIN, rows=6)
    history, candidates = np.array([[1, 2, 0], [2, 0, 0], [4, 1, 0]]), np.array([[1, 3], [3, 4], [2, 3]])
    whole = together.score(history, np.array([2, 1, 2]), candidates)

    monkeypatch.setattr("examples.movies.baselines._LOOKUPS_PER_BLOCK", 1)

    assert np.array_equal(whole, together.score(history, np.array([2, 1, 2]), candidates))


def test_a_catalogue_too_large_to_count_densely_is_refused() -> None:
    """The limit is a sentence, not an allocation failure."""
    with pytest.raises(ValueError, match="densely"):
        CoOccurrence(TRAIN, ITEMS_MAX + 1)

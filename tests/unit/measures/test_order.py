"""The order rule: scored by score, the rest by prior, ties by prior then index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.order import rank_order

NAN = float("nan")
VALUES = st.sampled_from([NAN, -1.0, 0.0, -0.0, 0.5, 2.0, float("inf"), float("-inf")])


def test_scores_descend() -> None:
    """Higher scores come first."""
    assert [1, 2, 0] == rank_order(np.array([0.1, 0.9, 0.5], np.float32)).tolist()


def test_ties_without_prior_keep_the_order_given() -> None:
    """The order given is the prior when there is none."""
    assert [1, 3, 0, 2] == rank_order(np.array([0.0, 1.0, 0.0, 1.0])).tolist()


def test_ties_fall_to_the_prior_then_to_the_index() -> None:
    """Equal scores are ordered by prior; equal priors by index."""
    order = rank_order(np.array([1.0, 1.0, 1.0, 2.0]), prior=np.array([0.1, 0.7, 0.1, 0.0]))

    assert [3, 1, 0, 2] == order.tolist()


def test_an_unscored_candidate_never_passes_a_scored_one() -> None:
    """NaN is unscored: behind the worst score, by prior, whatever that prior is."""
    order = rank_order(np.array([NAN, -9.0, NAN, -8.0]), prior=np.array([0.1, 0.0, 99.0, 0.0]))

    assert [3, 1, 2, 0] == order.tolist()


def test_the_scored_mask_wins_over_the_score() -> None:
    """A candidate outside the mask is unscored even where a number stands."""
    order = rank_order(np.array([5.0, 1.0, 2.0]), scored=np.array([False, True, True]))

    assert [2, 1, 0] == order.tolist()


def test_the_arguments_are_left_alone() -> None:
    """Ranking writes into none of its inputs."""
    scores, scored = np.array([5.0, 1.0]), np.array([False, True])

    rank_order(scores, scored=scored)

    assert [5.0, 1.0] == scores.tolist()


def test_integer_scores_are_ordered() -> None:
    """Unsigned integers do not wrap around when negated."""
    assert [2, 1, 0] == rank_order(np.array([0, 1, 255], np.uint8)).tolist()


def test_no_candidates_give_an_empty_order() -> None:
    """N = 0 is an empty int64 order."""
    order = rank_order(np.zeros(0, np.float32), prior=np.zeros(0, np.float32))

    assert (0, np.dtype(np.int64)) == (len(order), order.dtype)


def test_lengths_must_agree() -> None:
    """A prior of another length is refused, not broadcast."""
    with pytest.raises(ValueError, match="one length"):
        rank_order(np.zeros(3), prior=np.zeros(1))


@given(st.lists(st.tuples(VALUES, st.integers(-2, 2), st.booleans()), min_size=1, max_size=12))
def test_the_fast_order_is_the_written_rule(rows: list[tuple[float, int, bool]]) -> None:
    """The vectorised order equals Python's sort by (unscored, -score, -prior, index)."""
    scores = np.array([row[0] for row in rows], np.float32)
    prior = np.array([row[1] for row in rows], np.float32)
    scored = np.array([row[2] for row in rows])

    def key(index: int) -> tuple[bool, float, float, int]:
        missing = bool(np.isnan(scores[index]) or not scored[index])
        return missing, 0.0 if missing else -float(scores[index]), -float(prior[index]), index

    assert sorted(range(len(rows)), key=key) == rank_order(scores, prior, scored).tolist()

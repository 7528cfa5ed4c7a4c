"""nDCG against values computed by hand."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.ndcg import Judged, dcg, ndcg

GRADES = st.lists(st.integers(0, 4), min_size=1, max_size=15)


def test_dcg_by_hand() -> None:
    """Gains 7, 3 and 0 at ranks 1 to 3 are worth 7 + 3 / log2(3)."""
    assert 7 + 3 / math.log2(3) == pytest.approx(dcg(np.array([2, 0, 3]), np.array([2, 0, 1])))


def test_one_relevant_at_rank_three_is_a_half() -> None:
    """With one relevant candidate nDCG is 1 / log2(rank + 1)."""
    assert 0.5 == ndcg(np.array([0, 0, 1]), np.array([0, 1, 2]))


def test_a_relevant_candidate_beyond_k_counts_nothing() -> None:
    """nDCG@2 of a relevant candidate at rank 3 is 0."""
    assert 0.0 == ndcg(np.array([0, 0, 1]), np.array([0, 1, 2]), k=2)


def test_no_relevant_candidate_is_not_a_number() -> None:
    """A request without a relevant candidate has no nDCG."""
    assert math.isnan(ndcg(np.zeros(3), np.arange(3)))


def test_k_below_one_is_refused() -> None:
    """k counts ranks from one."""
    with pytest.raises(ValueError, match="k must be"):
        ndcg(np.ones(1), np.arange(1), k=0)


@given(GRADES, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_ideal_order_is_one_and_no_order_is_better(grades: list[int], k: int, random: Random) -> None:
    """Sorting by grade gives 1; any order lies in [0, 1]."""
    labels = np.array([*grades, 1])
    order = np.arange(len(labels))
    random.shuffle(order)

    assert 1.0 == pytest.approx(ndcg(labels, np.argsort(-labels), k))
    assert 0.0 <= ndcg(labels, order, k) <= 1.0 + 1e-12


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_many_orders_at_once_are_each_as_one(seed: int, k: int, ranks: int) -> None:
    """`Judged.ndcg` equals `ndcg` to 1e-12 for any labels, short and absent orders, NaN included."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 20, 8)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    labels = (rng.integers(0, 5, offsets[-1]) * (rng.random(offsets[-1]) < 0.3)).astype(np.float32)
    messages = rng.integers(0, 8, 30)
    top = np.full((30, ranks), -1, np.int16)
    for row, message in zip(top, messages, strict=True):
        order = rng.permutation(counts[message])[: rng.integers(0, ranks + 1)]
        row[: len(order)] = order
    found = Judged(labels, offsets, k).ndcg(top, messages)
    expected = [
        ndcg(labels[offsets[message] : offsets[message + 1]], row[row >= 0], k)
        for row, message in zip(top, messages, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_more_orders_than_fit_a_block() -> None:
    """The last of 100,000 orders is valued as the first."""
    judged = Judged(np.array([0, 1, 0]), np.array([0, 3]))
    found = judged.ndcg(np.tile(np.array([[0, 1, 2]]), (100_000, 1)), np.zeros(100_000, np.int64))
    assert {1 / math.log2(3)} == set(found.tolist())


def test_many_orders_need_a_rank_too() -> None:
    """k counts ranks from one here as well."""
    with pytest.raises(ValueError, match="k must be"):
        Judged(np.ones(1), np.array([0, 1]), k=0)

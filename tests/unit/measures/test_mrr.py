"""Reciprocal rank against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from measures.mrr import mrr, reciprocal_rank


def test_the_first_relevant_candidate_counts() -> None:
    """Relevant at ranks 2 and 3: the reciprocal rank is 1/2."""
    assert 0.5 == reciprocal_rank(np.array([0, 2, 1]), np.array([0, 2, 1]))


def test_a_relevant_candidate_beyond_k_counts_nothing() -> None:
    """First relevant at rank 3, k = 2: 0."""
    assert 0.0 == reciprocal_rank(np.array([0, 0, 1]), np.arange(3), k=2)


def test_no_relevant_candidate_is_not_a_number() -> None:
    """A request without a relevant candidate has no reciprocal rank."""
    assert math.isnan(reciprocal_rank(np.zeros(2), np.arange(2)))


def test_the_mean_leaves_out_requests_without_one() -> None:
    """NaN requests do not pull the mean."""
    assert 0.75 == pytest.approx(mrr([1.0, 0.5, float("nan")]))


def test_the_mean_of_nothing_is_not_a_number() -> None:
    """No request has a relevant candidate: NaN, without a warning."""
    assert math.isnan(mrr([float("nan")]))

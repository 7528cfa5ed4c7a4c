"""Kolmogorov-Smirnov distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.stats.distance import ks_distance

SAMPLE = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(SAMPLE, SAMPLE)
def test_it_is_the_largest_gap_between_two_distribution_functions(a: list[int], b: list[int]) -> None:
    """As defined, value by value, ties included."""
    expected = max(abs(np.mean(np.array(a) <= at) - np.mean(np.array(b) <= at)) for at in [*a, *b])
    assert pytest.approx(expected, abs=1e-12) == ks_distance(np.array(a), np.array(b))


def test_bunched_gaps_are_far_from_poisson() -> None:
    """Gaps rounded to a whole millisecond, as a coarse timer does, lie far from those planned at 1,500/s."""
    gaps_ms = np.random.default_rng(0).exponential(1000 / 1500, 5000)
    assert ks_distance(gaps_ms, np.floor(gaps_ms)) > 0.5
    assert 0.0 == ks_distance(gaps_ms, gaps_ms[::-1])


def test_nothing_has_no_distribution() -> None:
    """An empty sample is refused."""
    with pytest.raises(ValueError, match="empty"):
        ks_distance(np.zeros(0), np.ones(1))

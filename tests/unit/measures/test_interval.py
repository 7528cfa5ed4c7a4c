"""Bootstrap intervals: where they lie, that they repeat, and what they say about a gate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import interval
from measures.interval import Interval, bootstrap_mean, paired_delta, paired_relative_delta, requests_needed

VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=30)


def test_a_normal_mean_gets_the_textbook_interval() -> None:
    """For 4,000 draws the half-width is 1.96 standard errors, within 5 %."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 4_000)
    found = bootstrap_mean(values, resamples=4_000)

    assert 1.96 * values.std() / np.sqrt(4_000) == pytest.approx(found.half_width, rel=0.05)
    assert not found.excludes(3.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    """Figures in a report can be reproduced."""
    values = np.random.default_rng(2).random(50)

    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)


def test_blocks_do_not_lose_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn in blocks of a few rows, the interval still covers the mean's spread."""
    values = np.random.default_rng(3).random(64)
    whole = bootstrap_mean(values, resamples=3_000)

    monkeypatch.setattr(interval, "_DRAWS_PER_BLOCK", 64 * 7)

    assert whole.half_width == pytest.approx(bootstrap_mean(values, resamples=3_000).half_width, rel=0.1)


@settings(max_examples=50)
@given(VALUES)
def test_the_interval_lies_within_the_values(values: list[float]) -> None:
    """A resampled mean cannot leave the range of what was observed."""
    found = bootstrap_mean(np.array(values), resamples=50)

    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_a_paired_delta_ignores_what_both_share() -> None:
    """A constant gain over very different requests has an interval without width."""
    base = np.random.default_rng(4).random(40) * 100
    found = paired_delta(base + 0.5, base, resamples=200)

    assert (0.5, 0.5, 0.5) == pytest.approx((found.mean, found.low, found.high))


def test_a_relative_delta_is_a_ratio_of_means() -> None:
    """10 % more on every request is +0.1, exactly, in every resample."""
    base = np.random.default_rng(5).random(40)
    found = paired_relative_delta(base * 1.1, base, resamples=200)

    assert (0.1, 0.1, 0.1) == pytest.approx((found.mean, found.low, found.high))


def test_a_relative_delta_survives_a_resample_of_zeros() -> None:
    """One success in four: a resample without it says nothing, and warns of nothing."""
    found = paired_relative_delta(np.array([0, 0, 0, 1.0]), np.array([0, 0, 0, 1.0]), resamples=200)

    assert Interval(0.0, 0.0, 0.0) == found


@pytest.mark.parametrize(
    ("values", "message"), [([], "non-empty"), ([1.0, float("nan")], "finite"), ([[1.0]], "one-dimensional")]
)
def test_values_without_a_mean_are_refused(values: list[object], message: str) -> None:
    """Empty, non-finite and two-dimensional values are refused with the reason."""
    with pytest.raises(ValueError, match=message):
        bootstrap_mean(np.array(values, np.float64))


def test_pairs_must_match() -> None:
    """Two lengths are not pairs; a negative reference has no relative delta."""
    with pytest.raises(ValueError, match="one length"):
        paired_delta(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="negative"):
        paired_relative_delta(np.ones(2), -np.ones(2))


def test_twice_the_half_width_needs_four_times_the_requests() -> None:
    """Half-width 0.02 at distance 0.01 from the threshold: four times as many decide."""
    assert 400 == requests_needed(Interval(0.0, -0.02, 0.02), threshold=-0.01, requests=100)


def test_a_decided_gate_needs_no_more_requests() -> None:
    """An interval clear of the threshold needs what it had."""
    assert 100 == requests_needed(Interval(0.0, -0.001, 0.001), threshold=-0.01, requests=100)


def test_a_mean_on_the_threshold_is_never_decided() -> None:
    """No number of requests separates a mean from itself."""
    assert requests_needed(Interval(-0.01, -0.02, 0.0), threshold=-0.01, requests=100) is None

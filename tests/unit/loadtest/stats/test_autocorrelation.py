"""Shared fate, and what it takes off the count."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.stats.autocorrelation import lag_one, n_effective


def test_it_is_the_textbook_estimate() -> None:
    """Equal to the sum of products of neighbouring deviations over that of squares."""
    events = np.random.default_rng(3).random(500) < np.repeat([0.1, 0.8, 0.1, 0.8, 0.3], 100)
    away = events - events.mean()
    assert pytest.approx((away[1:] * away[:-1]).sum() / np.square(away).sum()) == lag_one(events)
    assert lag_one(events) > 0.1


def test_a_markov_chain_s_correlation_is_found() -> None:
    """Of a two-state chain that stays with probability s, lag 1 is 2 s - 1."""
    rng = np.random.default_rng(5)
    switches = rng.random(200_000) < 0.1
    assert pytest.approx(0.8, abs=0.01) == lag_one(np.cumsum(switches) % 2 == 1)


@pytest.mark.parametrize("events", [[], [True], [False] * 9, [True] * 9])
def test_a_constant_sequence_has_none(events: list[bool]) -> None:
    """Where nothing varies nothing correlates."""
    assert 0.0 == lag_one(np.array(events, np.bool_))


def test_alternation_gains_nothing() -> None:
    """Negative correlation does not make more requests of them."""
    assert 0.0 == lag_one(np.arange(100) % 2 == 0)
    assert 100.0 == n_effective(100, -0.5)


def test_independent_requests_count_in_full_and_runs_of_them_less() -> None:
    """rho = 0 leaves n; rho = 0.5 leaves a third."""
    assert 900.0 == n_effective(900, 0.0)
    assert pytest.approx(300.0) == n_effective(900, 0.5)


def test_effective_count_predicts_the_spread_of_the_mean() -> None:
    """Over 400 chains the variance of the mean is that of n_effective independent events, within 20 %."""
    rng = np.random.default_rng(8)
    chains = np.cumsum(rng.random((400, 2000)) < 0.25, axis=1) % 2 == 1
    means = chains.mean(axis=1)
    expected = 0.25 / n_effective(2000, 0.5)
    assert pytest.approx(1.0, abs=0.2) == float(((means - 0.5) ** 2).mean()) / expected

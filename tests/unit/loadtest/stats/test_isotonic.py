"""Capacity: the interval holds the truth, and says where it does not know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.stats.isotonic import crossing, estimate, fit

STEP = st.tuples(st.sampled_from([100.0, 130.0, 170.0, 220.0]), st.integers(1, 500), st.integers(0, 500)).map(
    lambda step: (step[0], step[1], min(step[1], step[2]))
)


def ratio(rate: float | np.ndarray) -> np.ndarray:
    """A server's true violation ratio: 1 % at 1,000/s, steeply rising."""
    return np.minimum(0.01 * np.exp((np.asarray(rate) - 1000) / 60), 1.0)


def tried(rng: np.random.Generator) -> list[tuple[float, int, int]]:
    """Steps of a search: a coarse bracket, then a fine grid with repetitions."""
    rates = [700.0, 875.0, 1100.0, *(970 * 1.03**power for power in range(4)), 999.0, 999.0]
    return [(rate, 5000, int(rng.binomial(5000, ratio(rate)))) for rate in rates]


def test_the_interval_holds_the_true_crossing() -> None:
    """In at least 90 % of 300 seeded searches, 1,000/s lies within; and it is no wider than the bracket."""
    rng = np.random.default_rng(1)
    found = [crossing(tried(rng), 0.01) for _ in range(300)]
    held = [low is not None and high is not None and low <= 1000 <= high for low, high in found]
    assert np.mean(held) >= 0.9
    assert all(low is None or low >= 700 for low, _ in found)
    assert np.mean([high is not None and high <= 1100 for _, high in found]) >= 0.95


def test_sparse_steps_do_not_feign_precision() -> None:
    """With nothing tried between 900 (all good) and 1,100 (all bad) the interval is that whole gap."""
    assert (900.0, 1100.0) == crossing([(900.0, 10_000, 0), (1100.0, 10_000, 10_000)], 0.01)


def test_what_was_not_tried_is_not_bounded() -> None:
    """All good: no upper end. All bad: no lower. Too few requests: neither."""
    assert (500.0, None) == crossing([(400.0, 5000, 0), (500.0, 5000, 2)], 0.01)
    assert (None, 400.0) == crossing([(400.0, 5000, 900), (500.0, 5000, 2000)], 0.01)
    assert (None, None) == crossing([(400.0, 30, 0)], 0.01)


def test_repetitions_are_pooled() -> None:
    """Five short steps at one rate know what one long one does."""
    assert crossing([(400.0, 1000, 4)] * 5, 0.01) == crossing([(400.0, 5000, 20)], 0.01) == (400.0, None)


def test_a_contradiction_widens_the_interval() -> None:
    """Bad at 400 and good at 500 cannot be: the interval spans both."""
    assert (400.0, 500.0) == crossing([(400.0, 5000, 900), (500.0, 5000, 0)], 0.01)


@given(st.lists(STEP, min_size=1, max_size=8))
def test_the_fit_never_falls_and_keeps_the_count(steps: list[tuple[float, int, int]]) -> None:
    """Isotonic, within [0, 1], and with the violations that were seen."""
    found = fit(steps)
    ratios = [share for _, share in found]
    assert sorted(ratios) == pytest.approx(ratios)
    assert all(-1e-12 <= share <= 1 + 1e-12 for share in ratios)
    requests = {rate: sum(n for at, n, _ in steps if at == rate) for rate, _ in found}
    assert pytest.approx(sum(t for _, _, t in steps)) == sum(requests[rate] * share for rate, share in found)


@given(st.lists(STEP, min_size=1, max_size=8), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_ends_are_rates_that_were_tried(steps: list[tuple[float, int, int]], allowed: float) -> None:
    """In order, and never invented."""
    low, high = crossing(steps, allowed)
    rates = {rate for rate, _, _ in steps}
    assert {low, high} - {None} <= rates
    assert low is None or high is None or low <= high


def test_the_estimate_lies_on_the_line_between_neighbours() -> None:
    """Half way from 0 to twice the allowed share is half way from rate to rate; no crossing, nothing."""
    assert pytest.approx(150.0) == estimate([(100.0, 100, 0), (200.0, 100, 2)], 0.01)
    assert estimate([(100.0, 100, 0), (200.0, 100, 0)], 0.01) is None


@pytest.mark.parametrize("steps", [[], [(1.0, 0, 0)], [(1.0, 5, 6)]])
def test_steps_that_cannot_be_are_refused(steps: list[tuple[float, int, int]]) -> None:
    """None at all, one without requests, or one with more violations than requests."""
    with pytest.raises(ValueError, match="step"):
        crossing(steps, 0.01)

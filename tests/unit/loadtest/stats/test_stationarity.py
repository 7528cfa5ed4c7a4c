"""Warm-up found, drift found, and neither where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr, theilslopes

from loadtest.stats.stationarity import mser5, trend

SERIES = st.lists(st.floats(-100, 100), max_size=60).map(np.array)


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Around 10."""
    return np.random.default_rng(seed).normal(10, 1, n)


def test_a_warm_up_is_cut() -> None:
    """Ten windows that start at five times the level are discarded, and at most a batch more."""
    values = noise(100)
    values[:10] += np.linspace(40, 20, 10)
    assert mser5(values) in (10, 15)


@given(SERIES)
def test_it_is_the_formula(values: np.ndarray) -> None:
    """The cut minimises the squared standard error over batches, computed the long way."""
    means = [values[at : at + 5].mean() for at in range(0, len(values) - 4, 5)]

    def error(cut: int) -> float:
        rest = np.array(means[cut:])
        return float(np.square(rest - rest.mean()).sum() / len(rest) ** 2)

    cut = mser5(values)
    assert (0, True) == (cut % 5, 2 * cut <= len(values))
    if len(means) >= 4:
        best = min(error(at) for at in range(len(means) // 2 + 1))
        assert pytest.approx(best, rel=1e-6, abs=1e-6) == error(cut // 5)


def test_too_few_windows_show_no_warm_up() -> None:
    """Fewer than four batches: nothing is discarded."""
    assert 0 == mser5(np.array([100.0] * 5 + [1.0] * 14))


def test_a_drift_is_found_with_its_size() -> None:
    """A rise by 6 over the series is found as one of about 6."""
    found = trend(noise(60) + np.linspace(0, 6, 60))
    assert found.p_value < 1e-6
    assert found.rho > 0.5
    assert pytest.approx(6, abs=1.5) == found.change


def test_noise_seldom_drifts() -> None:
    """Of 400 series without a trend, about 1 % have p < 0.01."""
    found = [trend(noise(60, seed)).p_value < 0.01 for seed in range(400)]
    assert sum(found) <= 12


def test_it_is_scipy_s() -> None:
    """Spearman's rho and p, Theil and Sen's slope, as scipy has them."""
    values = noise(40, seed=4)
    rho, p_value = spearmanr(np.arange(40), values)
    found = trend(values)
    assert (rho, p_value, theilslopes(values).slope * 39) == (found.rho, found.p_value, found.change)


def test_a_long_series_is_thinned_without_losing_its_change() -> None:
    """Of 5,000 windows all pairs would be 12 million; the change is still that of the whole."""
    assert pytest.approx(10, abs=0.3) == trend(noise(5000) + np.linspace(0, 10, 5000)).change


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0] * 20])
def test_little_or_constant_has_no_trend(values: list[float]) -> None:
    """No correlation, no evidence, no change; and no warning."""
    found = trend(np.array(values))
    assert (0.0, 1.0, 0.0) == (found.rho, found.p_value, found.change)


def test_infinite_values_are_refused() -> None:
    """What never came must be clipped by the caller, who knows to what."""
    for fold in (mser5, trend):
        with pytest.raises(ValueError, match="finite"):
            fold(np.array([1.0, np.inf, 2.0]))

"""A changing rate: the inverse of its integral puts arrivals where the rate says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.scenario.form import Closed, OnOff, Poisson, Profile, Sine
from loadtest.schedule.intensity import Intensity, of

RNG = np.random.default_rng(0)

rates = st.lists(st.floats(0, 1000), min_size=2, max_size=6).filter(lambda values: sum(values) > 1)


@given(rates, st.floats(0.1, 100))
def test_the_inverse_undoes_the_integral(loads: list[float], duration_s: float) -> None:
    """Λ(Λ⁻¹(u)) = u, for straight lines between any rates, zero among them."""
    found = of(Profile(loads=tuple(loads)), 1.0, duration_s, RNG)
    u = np.linspace(0, found.total, 50, endpoint=False)
    t = found.inverse(u)

    fine = np.linspace(0, duration_s, 20_001)
    rate = np.interp(fine, found.at_s, found.rate_per_s)
    integral = np.concatenate([[0], np.cumsum(np.diff(fine) * (rate[1:] + rate[:-1]) / 2)])
    np.testing.assert_allclose(np.interp(t, fine, integral), u, atol=found.total * 1e-3)
    assert (np.diff(t) >= 0).all()
    assert (t >= 0).all()
    assert (t <= duration_s).all()


def test_a_constant_rate_is_a_straight_line() -> None:
    """At 50/s the 25th arrival of rate 1 comes after half a second."""
    found = of(Poisson(load=2.0), 25.0, 10.0, RNG)
    assert 500.0 == found.total
    np.testing.assert_allclose(found.inverse(np.array([0.0, 25.0, 499.0])), [0.0, 0.5, 9.98])


def test_a_jump_is_sharp() -> None:
    """Nothing is smeared over the instant at which a rate jumps from 1 to 100."""
    found = Intensity(np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 1.0, 100.0, 100.0]))
    np.testing.assert_allclose(found.inverse(np.array([0.5, 1.5, 51.0])), [0.5, 1.005, 1.5])


def test_a_sine_has_the_mean_it_says() -> None:
    """Over whole periods the arrivals expected are rate times time, whatever the amplitude."""
    found = of(Sine(load=1.0, amplitude=0.9, period_s=2.0), 300.0, 10.0, RNG)
    assert found.total == pytest.approx(3000.0, rel=1e-3)
    first_half = np.interp(1.0, *_cumulated(found))
    assert first_half == pytest.approx(300 * (1 + 2 * 0.9 / math.pi), rel=1e-3)


def test_an_on_off_load_dwells_as_long_as_it_says() -> None:
    """Exponential stays with the given means, in turn, from the first load on."""
    found = of(OnOff(loads=(1.0, 3.0), dwell_s=(2.0, 0.5)), 10.0, 20_000.0, np.random.default_rng(1))
    lengths = np.diff(found.at_s)
    slow, fast = lengths[::2][found.rate_per_s[::2][: len(lengths[::2])] == 10.0], lengths[lengths > 0]
    assert {10.0, 30.0} == set(found.rate_per_s.tolist())
    assert 10.0 == found.rate_per_s[0]
    assert slow.mean() == pytest.approx(2.0, rel=0.05)
    assert found.total / 20_000 == pytest.approx(10 * (2.0 * 1 + 0.5 * 3) / 2.5, rel=0.03)
    assert len(fast)


def test_a_closed_loop_has_no_rate() -> None:
    """It sends when it was answered."""
    with pytest.raises(TypeError, match="Closed has no rate"):
        of(Closed(in_flight=1), 1.0, 1.0, RNG)


def _cumulated(found: Intensity) -> tuple[list[float], list[float]]:
    areas = np.diff(found.at_s) * (found.rate_per_s[1:] + found.rate_per_s[:-1]) / 2
    return found.at_s.tolist(), np.concatenate([[0.0], np.cumsum(areas)]).tolist()

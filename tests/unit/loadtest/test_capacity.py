"""The search for a capacity, over servers whose knee is known."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.capacity import GRID, REPEATS, Aborted, Step, search, summarise
from loadtest.scenario.form import Cost, Phase, Scenario, Slo
from loadtest.stats.binomial import decide
from loadtest.verdict import Verdict

BASE = Scenario(version=1, name="s", slo=Slo(budget_ms=10), phases=(Phase(name="p", duration_s=1),))


class Server:
    """Breaks the promise with 0.2 % of the requests below its knee, and with 20 % above."""

    def __init__(self, knee_per_s: float) -> None:
        self.knee_per_s = knee_per_s
        self._rng = np.random.default_rng(0)

    def at(self, rate_per_s: float) -> Step:
        """Ten thousand requests at this rate."""
        broken = int(self._rng.binomial(10_000, 0.002 if rate_per_s <= self.knee_per_s else 0.2))
        return Step(
            rate_per_s=rate_per_s,
            scheduled=10_000,
            broken=broken,
            p99_ms=None,
            verdict=decide(10_000, broken, 0.01, 0.01),
            sentence="",
        )


@settings(max_examples=40, deadline=None)
@given(st.floats(20, 20_000), st.floats(0.2, 5))
def test_the_knee_is_found_whatever_the_guess(knee_per_s: float, guess: float) -> None:
    """It lies in the interval, whose ends are neighbours on the grid, or within 3 % of them."""
    server = Server(knee_per_s)
    found = summarise(BASE, 0.0, search(server.at, knee_per_s * guess))
    assert found.passed_per_s is not None
    assert found.low_per_s is not None
    assert found.high_per_s is not None
    assert knee_per_s / GRID**1.01 <= found.passed_per_s <= knee_per_s
    assert found.low_per_s <= knee_per_s * GRID
    assert found.high_per_s >= knee_per_s / GRID
    assert found.high_per_s / found.low_per_s < GRID**2


def test_the_rates_beside_the_knee_are_repeated() -> None:
    """One lucky run is no capacity."""
    steps = search(Server(500.0).at, 400.0)
    rates = [step.rate_per_s for step in steps]
    neighbours = sorted({rate for rate in rates if rates.count(rate) >= REPEATS})
    assert 2 == len(neighbours)
    assert neighbours[0] <= 500.0 < neighbours[1]


def test_a_target_that_never_passes_ends_the_search() -> None:
    """Rather than halving for ever."""
    with pytest.raises(Aborted, match="no rate passes"):
        search(Server(0.0).at, 100.0)


def test_a_target_that_always_passes_ends_the_search() -> None:
    """A number of steps is enough to see that load does not decide."""
    with pytest.raises(Aborted, match="not decided by its load"):
        search(Server(1e30).at, 100.0)


def test_a_rate_that_failed_once_is_not_the_largest_that_passed() -> None:
    """Only rates below every failure count."""

    def step(rate_per_s: float, verdict: Verdict) -> Step:
        broken = 0 if verdict is Verdict.PASS else 2000
        return Step(
            rate_per_s=rate_per_s, scheduled=10_000, broken=broken, p99_ms=None, verdict=verdict, sentence=""
        )

    steps = [
        step(100, Verdict.PASS),
        step(200, Verdict.PASS),
        step(150, Verdict.FAIL),
        step(300, Verdict.FAIL),
    ]
    assert 100 == summarise(BASE, 0.0, steps).passed_per_s
    assert summarise(BASE, 0.0, steps[3:]).passed_per_s is None


def test_a_price_becomes_a_cost_per_million() -> None:
    """0.36 dollars an hour at 100/s, half of it used: 2 dollars per million; a fleet has one to spare."""
    priced = msgspec.structs.replace(BASE, cost=Cost(usd_per_hour=0.36, headroom=0.5))
    steps = [
        Step(rate_per_s=100, scheduled=9999, broken=0, p99_ms=None, verdict=Verdict.PASS, sentence=""),
        Step(rate_per_s=103, scheduled=9999, broken=999, p99_ms=None, verdict=Verdict.FAIL, sentence=""),
    ]
    found = summarise(priced, 120.0, steps)
    assert found.usd_per_million == pytest.approx(2.0)
    assert {100: 3, 1000: 21, 10_000: 201} == found.replicas
    assert ({}, None) == (
        summarise(BASE, 120.0, steps).replicas,
        summarise(BASE, 120.0, steps).usd_per_million,
    )

"""A sweep's phases."""

import pytest

from loadtest.scenario.form import Poisson
from loadtest.scenario.load import load
from loadtest.sweep import LOADS, scenario


def test_loads_go_up_and_down_again_and_end_in_a_spike() -> None:
    """The highest is offered once; every load drains before the next, the spike does not."""
    found = scenario(load("steady"), (2.0, 0.5, 1.0), 4.0)
    loads = [
        (phase.name, phase.arrivals.load, phase.drain)
        for phase in found.phases
        if isinstance(phase.arrivals, Poisson)
    ]
    assert [
        ("warm-up", 0.5, True),
        ("0.5x up", 0.5, True),
        ("1x up", 1.0, True),
        ("2x up", 2.0, True),
        ("1x down", 1.0, True),
        ("0.5x down", 0.5, True),
        ("before the spike", 0.7, False),
        ("spike", 2.0, False),
        ("after the spike", 0.7, False),
    ] == loads
    assert ["warm-up"] == [phase.name for phase in found.phases if not phase.measure]
    assert 10.0 == found.phases[7].duration_s
    assert "steady-sweep" == found.name


@pytest.mark.parametrize("load_", [0.2, 1.0, 2.0])
def test_the_default_reaches_from_a_fifth_to_twice(load_: float) -> None:
    """Of the rate given, which should be the capacity."""
    assert load_ in LOADS
    assert (0.2, 2.0) == (min(LOADS), max(LOADS))

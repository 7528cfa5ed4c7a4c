"""How long the server takes to come back."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.fold import recovery
from loadtest.fold.windows import Stretch
from loadtest.records import ANSWERED, Records
from tests.unit.loadtest.made import made

SECOND = 1_000_000_000
PHASES = [
    Stretch("before", True, 0.5, 0, 5 * SECOND),
    Stretch("spike", False, 2.0, 5 * SECOND, 10 * SECOND),
    Stretch("after", True, 0.5, 10 * SECOND, 20 * SECOND),
]


def run(bad_until_s: float) -> Records:
    """40 requests per second for 20 s; late from the spike's beginning until then."""
    instants_ms = np.arange(0, 20_000, 25.0)
    return made(
        *((at, at, at + (60.0 if 5000 <= at < 1000 * bad_until_s else 5.0), ANSWERED) for at in instants_ms)
    )


@pytest.mark.parametrize(("bad_until_s", "seconds"), [(9.9, 0.0), (10.5, 0.5), (12.3, 2.5), (20.0, None)])
def test_until_the_last_half_second_that_fell_short(bad_until_s: float, seconds: float | None) -> None:
    """At once, after whole half seconds, or not within the phase."""
    (found,) = recovery.fold(run(bad_until_s), PHASES, [25.0])
    assert ("spike", "after", 1.0, seconds) == (
        found.after,
        found.phase,
        found.share_before,
        found.seconds,
    )


def test_the_earlier_share_is_the_measure() -> None:
    """A server that kept half its promises before is back when it keeps half of them again."""
    records = run(11.0)
    records.rows["done_ns"][::2] = records.rows["intended_ns"][::2] + 60_000_000
    (found,) = recovery.fold(records, PHASES, [25.0])
    assert (0.5, 1.0) == (found.share_before, found.seconds)


def test_where_nothing_came_before_everything_should_be_in_time() -> None:
    """A run that begins with its spike is measured against a share of 1."""
    (found,) = recovery.fold(run(12.0), PHASES[1:], [25.0])
    assert (1.0, 2.0) == (found.share_before, found.seconds)


def test_a_degraded_answer_is_no_recovery() -> None:
    """In time but short of candidates: goodput is not back."""
    records = run(10.0)
    records.rows["scored"][(records.rows["intended_ns"] // SECOND) < 13] = 2
    (found,) = recovery.fold(records, PHASES[1:], [25.0])
    assert 3.0 == found.seconds


def test_two_late_of_twenty_are_chance() -> None:
    """A half second with 90 % in time near the end is no relapse."""
    records = run(10.0)
    records.rows["done_ns"][-22:-20] += 60_000_000
    (found,) = recovery.fold(records, PHASES, [25.0])
    assert 0.0 == found.seconds


def test_a_small_step_down_is_no_recovery() -> None:
    """From load 2 to 1.5, or to nothing at all, no end of an overload is seen."""
    phases = [PHASES[1], Stretch("less", True, 1.5, 10 * SECOND, 20 * SECOND)]
    assert [] == recovery.fold(run(12.0), phases, [25.0])

"""The margin: grows with lateness, one step a run, within bounds."""

from __future__ import annotations

import random

import pytest

from server.core.cost import HALF_LIFE_NS, SILENCE_NS
from server.core.margin import LATE_SHARE, SHARE_MAX, STEP, Margin

MS = 1_000_000


def test_it_starts_at_the_least_and_does_not_fall_below() -> None:
    """Being in time for ever is no reason to keep less free than was configured."""
    margin = Margin(25 * MS, MS)
    for _ in range(1000):
        margin.learn(0, 10)
    assert MS == margin.ns


def test_one_late_run_is_one_step_however_many_were_in_it() -> None:
    """A stall that catches fifty requests is one event."""
    few, many = Margin(25 * MS, MS), Margin(25 * MS, MS)
    few.learn(1, 1)
    many.learn(50, 50)
    assert few.ns == many.ns == MS + int(STEP * 25 * MS * (1 - LATE_SHARE))


def test_it_never_takes_more_than_its_share_of_the_budget() -> None:
    """0.3 of it, the least included."""
    margin = Margin(25 * MS, MS)
    for _ in range(1000):
        margin.learn(1, 1)
    assert int(SHARE_MAX * 25 * MS) == margin.ns


def test_the_late_share_comes_out_as_aimed_at() -> None:
    """Lateness that falls with the margin: over 50,000 runs the mean share is the one aimed at."""
    rng = random.Random(4)
    margin = Margin(25 * MS, 0)
    late = 0
    for _ in range(50_000):
        is_late = rng.expovariate(1 / MS) > margin.ns  # what is unforeseen takes 1 ms on average
        late += is_late
        margin.learn(int(is_late), 1)
    assert LATE_SHARE == pytest.approx(late / 50_000, abs=0.001)


def test_it_narrows_again_when_it_lets_nobody_in() -> None:
    """Nothing for 5 s, then half of what was learned in another 5; asked often or seldom, it is the same."""
    often, seldom, busy = (Margin(25 * MS, MS, extra_ns=4.0 * MS) for _ in range(3))
    for now_ns in range(0, SILENCE_NS + HALF_LIFE_NS + 1, HALF_LIFE_NS // 50):
        busy.fed(now_ns)
        often.heal(now_ns)
        busy.heal(now_ns)
    seldom.heal(0)
    seldom.heal(SILENCE_NS + HALF_LIFE_NS)
    assert (3 * MS, 3 * MS, 5 * MS) == (pytest.approx(often.ns, abs=2), seldom.ns, busy.ns)

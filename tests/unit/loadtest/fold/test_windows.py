"""A run second by second."""

from __future__ import annotations

import numpy as np

from loadtest.fold import windows
from loadtest.fold.windows import Stretch
from loadtest.records import ANSWERED
from tests.unit.loadtest.made import made

SECOND = 1_000_000_000


def stretch(name: str, starts_s: float, ends_s: float, measured: bool = True) -> Stretch:
    """At load 1."""
    return Stretch(name, measured, 1.0, round(starts_s * SECOND), round(ends_s * SECOND))


def test_a_request_belongs_where_it_was_intended() -> None:
    """Held up for two seconds, it counts in the second it should have been sent in."""
    found = windows.fold(made((900.0, 2900.0, 2901.0, ANSWERED)), [stretch("all", 0, 3)], [25.0], None)
    assert [(0.0, 1, 1), (1.0, 0, 0), (2.0, 0, 0)] == [
        (window.t_s, window.offered, window.answered) for window in found
    ]


def test_windows_begin_anew_with_each_phase() -> None:
    """A phase of 1.5 s has a second window of half a second; none mixes two phases."""
    records = made(*((100.0 * at, 100.0 * at, 100.0 * at + 1, ANSWERED) for at in range(30)))
    found = windows.fold(
        records, [stretch("warm-up", 0, 1.5, measured=False), stretch("steady", 1.5, 3)], [25.0], None
    )
    assert [
        (0.0, "warm-up", False, 10),
        (1.0, "warm-up", False, 5),
        (1.5, "steady", True, 10),
        (2.5, "steady", True, 5),
    ] == [(window.t_s, window.phase, window.measured, window.offered) for window in found]


def test_every_ending_is_counted() -> None:
    """Answered, late, refused, lost: offered is all of them."""
    records = made(
        (0.0, 0.0, 5.0, ANSWERED),
        (1.0, 1.0, 50.0, ANSWERED),
        (2.0, 2.0, 3.0, "overloaded"),
        (3.0, 3.0, -1.0, "timeout"),
    )
    (found,) = windows.fold(records, [stretch("all", 0, 1)], [25.0], None)
    assert (4, 2, 1, 1, 1) == (found.offered, found.answered, found.in_time, found.refused, found.errors)


def test_a_window_s_percentiles_are_its_own_values() -> None:
    """Of three latencies the middle one and the largest, few as they are; of none, none."""
    records = made((0.0, 0.0, 5.0, ANSWERED), (1.0, 1.0, 50.0, ANSWERED), (2.0, 2.0, 9.0, ANSWERED))
    first, second = windows.fold(records, [stretch("all", 0, 2)], [25.0], None)
    assert (7.0, 49.0, 49.0) == (first.p50_ms, first.p99_ms, first.max_ms)
    assert (None, None, None) == (second.p50_ms, second.p99_ms, second.max_ms)


def test_perceived_quality_is_the_mean_of_those_that_have_one() -> None:
    """NaN says nothing, and a window of nothing but NaN has no quality."""
    records = made(*((at * 400.0, at * 400.0, at * 400.0 + 1, ANSWERED) for at in range(5)))
    perceived = np.array([0.5, np.nan, 1.0, np.nan, np.nan])
    found = windows.fold(records, [stretch("all", 0, 2)], [25.0], perceived)
    assert [0.75, None] == [window.perceived_ndcg for window in found]

"""`benchmarks.overload.recovery`: back means back for good."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.overload.recovery import share, until_ordinary, until_share_is_back

EVERY_S = np.arange(0.0, 10.0, 0.01)


def good_but(*gaps: tuple[float, float]) -> NDArray[np.bool_]:
    """Everything is good but what was asked within the gaps."""
    good = np.ones(len(EVERY_S), np.bool_)
    for from_s, to_s in gaps:
        good[(EVERY_S >= from_s) & (EVERY_S < to_s)] = False
    return good


def test_back_at_once() -> None:
    """Nothing was bad after the trigger's end."""
    assert 0.0 == until_share_is_back(EVERY_S, good_but((2.0, 4.0)), 4.0, 0.95)


def test_back_when_the_bad_ones_are_few_enough() -> None:
    """Half a second of bad ones: a window of one second from 4.45 s on holds no more than 5 % of them."""
    found = until_share_is_back(EVERY_S, good_but((2.0, 4.5)), 4.0, 0.95)
    assert found == pytest.approx(0.5, abs=0.06)


def test_a_relapse_counts() -> None:
    """Good at first, bad again later: not back until that is over."""
    found = until_share_is_back(EVERY_S, good_but((2.0, 4.0), (6.0, 6.5)), 4.0, 0.95)
    assert found is not None
    assert found == pytest.approx(2.5, abs=0.06)


def test_never_back() -> None:
    """Bad to the end of what was observed."""
    assert until_share_is_back(EVERY_S, good_but((2.0, 10.0)), 4.0, 0.95) is None


def test_silence_is_no_recovery() -> None:
    """A window in which nothing was asked says nothing good: the server is back when somebody has asked."""
    asked = np.concatenate([EVERY_S[EVERY_S < 4.0], EVERY_S[EVERY_S > 8.0]])
    found = until_share_is_back(asked, np.ones(len(asked), np.bool_), 4.0, 0.95)
    assert found == pytest.approx(3.1)


def test_the_share_between_two_instants() -> None:
    """Half of what was asked in the second."""
    assert share(EVERY_S, good_but((1.0, 1.5)), 1.0, 2.0) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="nothing was asked"):
        share(EVERY_S, good_but(), 20.0, 21.0)


def test_ordinary_is_what_was_seen_before() -> None:
    """Four standard deviations of the windows before, or the slack where they hardly differ."""
    before = [1.0, 1.1, 0.9, 1.0]
    assert 0 == until_ordinary(before, [1.0, 1.0], [1.2, 1.0], slack=0.05, worst=10.0)
    assert 2 == until_ordinary(before, [1.0] * 3, [5.0, 3.0, 1.0], slack=0.05, worst=10.0)
    assert until_ordinary(before, [1.0] * 3, [5.0, 1.0, 5.0], slack=0.05, worst=10.0) is None
    assert 0 == until_ordinary([1.0, 1.0], [1.0], [1.04], slack=0.05, worst=10.0)
    assert until_ordinary([1.0, 1.0], [1.0], [1.06], slack=0.05, worst=10.0) is None


def test_ordinary_is_what_comes_without_the_trigger_too() -> None:
    """Where arrivals bunch, the same window without the trigger is what to compare with; the others stay."""
    before = [1.0, 1.1, 0.9, 1.0]
    assert 0 == until_ordinary(before, [4.0, 1.0], [4.2, 1.0], slack=0.05, worst=10.0)
    assert until_ordinary(before, [4.0, 1.0], [4.2, 4.2], slack=0.05, worst=10.0) is None
    assert 1 == until_ordinary(before, [9.0, 1.0], [9.6, 1.0], slack=0.05, worst=10.0)


def test_unrest_before_does_not_make_a_server_that_is_down_ordinary() -> None:
    """Windows that differ much allow much, but not more than halfway to the worst."""
    before = [0.2, 0.8, 0.3, 0.7]
    assert 0 == until_ordinary(before, [0.5], [0.74], slack=0.02, worst=1.0)
    assert until_ordinary(before, [0.5], [0.98], slack=0.02, worst=1.0) is None

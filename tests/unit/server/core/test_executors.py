"""Executors: when each is predicted to be free, and which are stuck."""

from __future__ import annotations

from server.core.decisions import Dispatch, Lane, Part, Ticket
from server.core.executors import HOPELESS_NS, STUCK_NS_MIN, Executors

MS = 1_000_000
LANE = Lane("a", 1, "int8")


def dispatch(executor: int, predicted_ms: int) -> Dispatch:
    ticket = Ticket(1, LANE, 10, 0, 100 * MS)
    return Dispatch(executor, LANE, (Part(ticket, 0, 10, 10),), 10, predicted_ms * MS, predicted_ms * MS)


def test_the_idle_are_free_now_and_the_busy_when_predicted() -> None:
    """Ascending, whoever it is."""
    executors = Executors(3)
    executors.begin(0, dispatch(0, 9), 0)
    executors.begin(2, dispatch(2, 4), 0)
    assert [MS, 4 * MS, 9 * MS] == executors.free_ns(MS)
    assert 2 == executors.busy()


def test_an_overdue_run_is_taken_to_double() -> None:
    """6 ms after a run should have ended, another 6 are expected; just after, a quarter of its length."""
    executors = Executors(1)
    executors.begin(0, dispatch(0, 2), 0)
    assert [2 * MS + 1 + MS // 2] == executors.free_ns(2 * MS + 1)
    assert [14 * MS] == executors.free_ns(8 * MS)


def test_a_run_is_stuck_after_four_times_its_time() -> None:
    """50 ms at least; hopeless after two seconds."""
    executors = Executors(2)
    executors.begin(0, dispatch(0, 2), 0)
    executors.begin(1, dispatch(1, 100), 0)
    assert () == executors.stuck(STUCK_NS_MIN)
    (found,) = executors.stuck(STUCK_NS_MIN + 1)
    assert (0, False) == (found.executor, found.hopeless)
    assert [True, True] == [entry.hopeless for entry in executors.stuck(HOPELESS_NS + 1)]


def test_nothing_is_planned_behind_a_stuck_run_while_others_run() -> None:
    """One of two stuck: its end is out of sight; all stuck: they double like any overdue run."""
    executors = Executors(2)
    executors.begin(0, dispatch(0, 2), 0)
    now_ns = 60 * MS
    assert now_ns == executors.free_ns(now_ns)[0]
    assert executors.free_ns(now_ns)[1] > now_ns + 1000 * MS
    executors.begin(1, dispatch(1, 2), 0)
    assert [118 * MS, 118 * MS] == executors.free_ns(now_ns)

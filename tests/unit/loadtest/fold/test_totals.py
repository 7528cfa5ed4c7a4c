"""Records to numbers. The first two tests hold the rules that make a tail honest."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.fold import totals
from loadtest.records import ANSWERED, TIMEOUT, Records
from loadtest.result import Numbers
from tests.unit.loadtest.made import answered_after, made


def folded(records: Records, duration_s: float = 1.0) -> Numbers:
    """With a budget of 25 ms and p99."""
    return totals.fold(records, [25.0], duration_s, 0.99)


def test_latency_counts_from_the_intended_instant() -> None:
    """A client that stalled for a second is charged to every request the stall held up.

    Twenty requests, 50 ms apart, all sent at 1,000 ms and answered 5 ms later: counted from the send, all
    took 5 ms and p50 would read 5.
    """
    records = made(*((50.0 * at, 1000.0, 1005.0, ANSWERED) for at in range(20)))
    found = folded(records)
    assert (505.0, 1005.0) == (found.latency.p50_ms, found.latency.max_ms)
    assert (5.0, 5.0) == (found.service.p50_ms, found.service.max_ms)
    assert (500.0, 1000.0) == (found.send_lag.p50_ms, found.send_lag.max_ms)
    assert 20 == found.violations


def test_an_admitted_request_without_an_answer_is_infinitely_late() -> None:
    """980 answers in 1 ms and twenty time-outs: p99 is infinite, not 1 ms, and all twenty are violations."""
    quick = [(at / 10, at / 10, at / 10 + 1, ANSWERED) for at in range(980)]
    lost = [(98.0, 98.0, 98.5, TIMEOUT), (98.5, 98.5, -1.0, TIMEOUT)] * 10
    found = folded(made(*quick, *lost))
    assert pytest.approx(1.0) == found.latency.p50_ms
    assert ("inf", "inf", "inf") == (found.latency.p99_ms, found.tail.value_ms, found.tail.high_ms)
    assert (1000, 20) == (found.admitted, found.violations)


@pytest.mark.parametrize(
    ("ending", "admitted", "error"),
    [
        ("unsent", 1, 1),
        ("missing", 1, 1),
        ("timeout", 1, 1),
        ("failed", 1, 1),
        ("expired", 1, 0),
        ("cancelled", 1, 0),
        ("invalid", 0, 0),
        ("denied", 0, 0),
        ("overloaded", 0, 0),
        ("unready", 0, 0),
    ],
)
def test_what_counts_as_admitted(ending: str, admitted: int, error: int) -> None:
    """Only refusals that promised nothing are left out; every other end without an answer is a violation, and
    those that are nobody's decision are faults."""
    found = folded(made((0.0, 0.0, 1.0, ending)))
    assert (0, admitted, admitted, error) == (found.answered, found.admitted, found.violations, found.errors)
    assert 1 - admitted == found.refusal.n


def test_goodput_needs_every_candidate_in_time() -> None:
    """Of two full answers in time, one short of a candidate, one of a lower step and a full one too late, the
    first two are good, the next two degraded."""
    records = answered_after(5.0, 5.0, 5.0, 5.0, 30.0)
    records.rows["scored"][2] = 3
    records.rows["step"][3] = 3
    found = folded(records, duration_s=0.5)
    assert (4.0, 4.0) == (found.goodput_per_s, found.degraded_goodput_per_s)
    assert 10.0 == found.answered_per_s == found.offered_per_s
    assert (5, 4, 2, 1) == (found.answered, found.in_time, found.degraded, found.violations)


def test_the_budget_itself_is_in_time() -> None:
    """An answer after exactly the budget kept it; a nanosecond more did not."""
    records = answered_after(25.0, 25.0)
    records.rows["done_ns"][1] += 1
    assert 1 == folded(records).violations


def test_each_class_has_its_own_budget() -> None:
    """Of two answers after 20 ms, the one with a budget of 10 is late."""
    records = answered_after(20.0, 20.0)
    records.rows["class"] = [0, 1]
    assert 1 == totals.fold(records, [10.0, 60.0], 1.0, 0.99).in_time


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank: of 1 to 10,000 in any order, p50 is 5,000, p99 9,900, p99.9 9,990."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, 10_001.0))
    found = totals.percentiles(values)
    assert (5000.0, 9000.0, 9900.0, 9990.0, 10_000.0) == (
        found.p50_ms,
        found.p90_ms,
        found.p99_ms,
        found.p999_ms,
        found.max_ms,
    )


def test_nothing_has_no_percentiles() -> None:
    """No values, no numbers: not 0, not an error; also of a whole fold."""
    found = folded(answered_after())
    assert (0, None, None) == (found.latency.n, found.latency.p99_ms, found.latency.max_ms)
    assert (0, 0.0, []) == (found.scheduled, found.goodput_per_s, found.refused)


def test_few_requests_have_no_tail() -> None:
    """Of 100 latencies, p90 and the maximum are shown, p99 is "too few" here and in the spectrum."""
    found = folded(answered_after(*np.arange(1.0, 101.0)))
    assert (90.0, None, 100.0) == (found.latency.p90_ms, found.latency.p99_ms, found.latency.max_ms)
    spectrum = dict(found.spectrum)
    assert (1.0, 50.0, None, 100.0) == tuple(spectrum[share] for share in (0.0, 0.5, 0.99, 1.0))


def test_refusals_are_counted_by_kind_and_reason() -> None:
    """Each end without an answer appears with how often it came, the most frequent first; refusals have their
    own latency."""
    records = made(
        (0.0, 0.0, 1.0, "expired"),
        *[(1.0, 1.0, 3.0, "overloaded")] * 3,
        (2.0, 2.0, 3.0, ANSWERED),
        reasons=("", "OVERLOADED", "EXPIRED_IN_QUEUE"),
    )
    records.rows["reason"] = [2, 1, 1, 1, 0]
    found = folded(records)
    assert [("overloaded", "OVERLOADED", 3), ("expired", "EXPIRED_IN_QUEUE", 1)] == [
        (entry.ending, entry.reason, entry.count) for entry in found.refused
    ]
    assert (3, 2.0) == (found.refusal.n, found.refusal.max_ms)
